// index, index_put, index_fill, index_copy, take, put and flip, and the way all indexing is queued.
#include "ops/index.h"

#include <ATen/Dispatch_v2.h>
#include <ATen/ExpandUtils.h>
#include <ATen/native/DispatchStub.h>
#include <ATen/native/IndexKernel.h>
#include <ATen/native/IndexingUtils.h>
#include <ATen/native/TensorAdvancedIndexing.h>

#include "ops/iterator.h"

namespace trn::ops {

DType move_type(c10::ScalarType t) {
  switch (c10::elementSize(t)) {
    case 1: return DType::u8;
    case 2: return DType::u16;
    case 4: return DType::u32;
    case 8: return DType::u64;
    default: return DType::c128;
  }
}

at::Tensor three_way(const at::Tensor& t, int64_t dim) {
  if (t.dim() == 0) return t.reshape({1, 1, 1});
  int64_t outer = 1, inner = 1;
  for (int64_t d = 0; d < dim; ++d) outer *= t.size(d);
  for (int64_t d = dim + 1; d < t.dim(); ++d) inner *= t.size(d);
  return t.reshape({outer, t.size(dim), inner});
}

at::Tensor under_index(const at::Tensor& t, at::IntArrayRef sizes, int64_t dim) {
  std::vector<int64_t> strides = t.strides().vec();
  strides[dim] = 0;
  return t.as_strided(sizes, strides);
}

at::TensorIterator iterate(const at::Tensor& out, at::TensorList inputs) {
  at::TensorIteratorConfig config;
  config.set_check_mem_overlap(false).check_all_same_dtype(false).resize_outputs(false);
  config.add_output(out);
  for (const at::Tensor& t : inputs) config.add_const_input(t);
  return config.build();
}

Operand immediate_bytes(const c10::Scalar& value, c10::ScalarType t) {
  Operand o{};
  o.dtype = dtype_of(t);
  AT_DISPATCH_V2(t, "index_trn", AT_WRAP([&] {
                   const auto element = value.to<scalar_t>();
                   std::memcpy(&o.value, &element, sizeof(element));
                 }),
                 AT_EXPAND(AT_ALL_TYPES_AND_COMPLEX), AT_EXPAND(AT_BAREBONES_UNSIGNED_TYPES),
                 AT_EXPAND(AT_FLOAT8_TYPES), c10::kComplexHalf, c10::kHalf, c10::kBFloat16,
                 c10::kBool);
  return o;
}

namespace {

const Family index_family("index"), index_put_family("index_put"), scatter_family("scatter");

Indexed indexed_by(at::IntArrayRef sizes, at::IntArrayRef byte_strides, int64_t bytes) {
  Indexed indexed;
  for (size_t k = 0; k < sizes.size(); ++k) {
    indexed.sizes_and_strides.push_back(sizes[k]);
    indexed.sizes_and_strides.push_back(byte_strides[k] / bytes);
  }
  return indexed;
}

void check_fits(int operands, int64_t dims) {
  TORCH_CHECK(operands <= kMaxOperands && dims <= kMaxDims, "trn indexes with at most ",
              kMaxOperands - 2, " tensors over ", kMaxDims, " dimensions, got ", operands - 2,
              " over ", dims);
}

std::vector<Operand> operands_of(const at::TensorIteratorBase& iter,
                                 std::initializer_list<int> order) {
  std::vector<Operand> operands;
  for (const int i : order) operands.push_back(iterator_operand(iter, i));
  return operands;
}

// How the places of a write are divided; kernels/scatter.cpp says what the two ways are. Where no
// dimension is wide enough to be cut, owners share the rows that one index chooses. Elements that
// one index each chooses have an owner only where most of them are far: looking at an index costs
// each thread as much as writing to the cache costs one.
struct Division {
  int64_t split, work, grain;
};
Division divide(const Operand& self, const Operand& index, const Indexed& indexed, int64_t cost) {
  constexpr int64_t kNarrow = 1024, kShort = 64, kFar = 64 << 20;  // bytes
  const int64_t threads = driver::compute_threads(), total = self.numel(), last = self.ndim - 1;
  int best = -1;
  for (int d = 0; d < self.ndim; ++d) {
    if (self.strides[d] == 0 || self.sizes[d] < 2) continue;
    if (best < 0 || self.sizes[d] > self.sizes[best]) best = d;
    if (self.sizes[d] >= 4 * threads) break;  // an outer dimension keeps ranges apart in memory
  }
  const int64_t size = dtype_size(self.dtype);
  const bool rows = last > 0 && index.strides[last] == 0 && self.strides[last] != 0;
  const int64_t row = rows ? self.sizes[last] * size : size;
  const bool narrow = rows && best == last && row < kNarrow * threads;
  if (best >= 0 && self.sizes[best] >= threads && !narrow) {
    const int64_t n = self.sizes[best], whole_share = (n + threads - 1) / threads;
    return {best, n, std::max(grain_for(cost * (total / n)), whole_share)};
  }
  int64_t extent = size;
  for (size_t k = 0; k < indexed.sizes_and_strides.size(); k += 2)
    extent =
        std::max(extent, indexed.sizes_and_strides[k] * indexed.sizes_and_strides[k + 1] * size);
  const bool alone = total <= grain_for(cost) || (row < kShort && extent < kFar);
  return {-1, alone ? 1 : threads, 1};
}

}  // namespace

void read_indexed(at::TensorIteratorBase& iter, const Indexed& indexed) {
  if (iter.numel() == 0) return;
  check_fits(iter.ntensors(), iter.ndim());
  const c10::DeviceIndex device = iterator_device(iter);
  Launch l(index_family, move_type(iter.dtype(0)));
  for (int i = 0; i < iter.ntensors(); ++i) l.raw(iterator_operand(iter, i), i == 0, device);
  l.ints({indexed.wrap}).ints(indexed.sizes_and_strides).may_fault();
  l.run(iter.numel(), grain_for(4 * iter.ntensors()));
}

void write_indexed(c10::ArrayRef<Operand> operands, c10::ScalarType type, c10::DeviceIndex device,
                   const Indexed& indexed, Reduction how, const c10::Scalar& alpha) {
  const Operand& self = operands[0];
  const bool moves = how == kReplace;
  Launch l(moves ? index_put_family : scatter_family, moves ? move_type(type) : dtype_of(type));
  for (size_t i = 0; i < operands.size(); ++i)
    l.raw(operands[i], i == 0, operands[i].data ? device : -1);
  const Division division =
      divide(self, operands[2], indexed, 4 * static_cast<int64_t>(operands.size()));
  const bool integral = at::isIntegralType(type, true);
  l.ints({division.split, indexed.wrap, how, integral ? alpha.toLong() : 0});
  l.ints(indexed.sizes_and_strides);
  const auto z = alpha.toComplexDouble();
  l.reals({z.real(), z.imag()}).may_fault().run(division.work, division.grain);
}

namespace {

void index_kernel(at::TensorIteratorBase& iter, at::IntArrayRef sizes, at::IntArrayRef strides) {
  read_indexed(iter, indexed_by(sizes, strides, iter.element_size(1)));
}

void index_put_kernel(at::TensorIterator& iter, at::IntArrayRef sizes, at::IntArrayRef strides,
                      bool accumulate) {
  if (iter.numel() == 0) return;
  check_fits(iter.ntensors(), iter.ndim());
  std::vector<Operand> operands;
  for (int i = 0; i < iter.ntensors(); ++i) operands.push_back(iterator_operand(iter, i));
  write_indexed(operands, iter.dtype(0), iterator_device(iter),
                indexed_by(sizes, strides, iter.element_size(0)), accumulate ? kSum : kReplace);
}

// Where PyTorch asks CUDA to sort (accumulate, or deterministic algorithms): our write keeps the
// order of the values anyway, so only the layout is left to do.
void index_put_with_sort_kernel(at::Tensor& target,
                                const c10::List<std::optional<at::Tensor>>& given,
                                const at::Tensor& value, bool accumulate, bool) {
  TORCH_CHECK(target.scalar_type() == value.scalar_type(),
              "Index put requires the source and destination dtypes match, got ",
              target.scalar_type(), " for the destination and ", value.scalar_type(),
              " for the source.");
  at::Tensor self = target;
  std::vector<at::Tensor> indices = at::native::expandTensors(self, given, true);
  TORCH_CHECK_INDEX(indices.size() <= static_cast<size_t>(self.dim()),
                    "too many indices for tensor of dimension ", self.dim(), " (got ",
                    indices.size(), ")");
  indices = at::expand_outplace(indices);
  indices.resize(self.dim());
  if (!at::native::hasContiguousSubspace(indices))
    std::tie(self, indices) = at::native::transposeToFront(self, indices);
  // The shape of the result: dimensions before, of the indices, and after.
  std::vector<int64_t> shape, strides;
  Indexed indexed;
  int64_t first = -1, index_dims = 0;
  for (int64_t d = 0; d < self.dim(); ++d) {
    if (!indices[d].defined()) {
      shape.push_back(self.size(d));
      strides.push_back(self.stride(d));
      continue;
    }
    indexed.sizes_and_strides.push_back(self.size(d));
    indexed.sizes_and_strides.push_back(self.stride(d));
    if (first >= 0) continue;
    first = d;
    index_dims = indices[d].dim();
    for (const int64_t s : indices[d].sizes()) {
      shape.push_back(s);
      strides.push_back(0);
    }
  }
  TORCH_CHECK(first >= 0, "index_put_: at least one index is needed");
  const int64_t after = static_cast<int64_t>(shape.size()) - first - index_dims;
  std::vector<at::Tensor> inputs{value.expand(shape)};
  for (int64_t d = 0; d < self.dim(); ++d) {
    if (!indices[d].defined()) continue;
    TORCH_CHECK_INDEX(self.size(d) != 0 || indices[d].numel() == 0,
                      "index is out of bounds for dimension with size 0");
    at::DimVector sizes(first, 1);
    sizes.append(indices[d].sizes().begin(), indices[d].sizes().end());
    sizes.append(after, 1);
    inputs.push_back(indices[d].reshape(sizes).expand(shape));
  }
  if (c10::multiply_integers(shape) == 0) return;
  at::TensorIterator iter = iterate(self.as_strided(shape, strides), inputs);
  check_fits(iter.ntensors(), iter.ndim());
  std::vector<Operand> operands;
  for (int i = 0; i < iter.ntensors(); ++i) operands.push_back(iterator_operand(iter, i));
  write_indexed(operands, iter.dtype(0), iterator_device(iter), indexed,
                accumulate ? kSum : kReplace);
}

// The iterators below are PyTorch's own: self is restrided already, `stride` counts elements.
void index_fill_kernel(at::TensorIterator& iter, int64_t, int64_t size, int64_t stride,
                       const at::Scalar& source) {
  if (iter.numel() == 0) return;
  std::vector<Operand> operands = operands_of(iter, {0, 1});
  operands.insert(operands.begin() + 1, immediate_bytes(source, iter.dtype(0)));
  write_indexed(operands, iter.dtype(0), iterator_device(iter), {{size, stride}}, kReplace);
}

void index_copy_kernel(at::TensorIterator& iter, int64_t, int64_t size, int64_t stride) {
  if (iter.numel() == 0) return;
  write_indexed(operands_of(iter, {0, 2, 1}), iter.dtype(0), iterator_device(iter),
                {{size, stride}}, kReplace);
}

// take and put count through all elements, so they see a tensor as one dense line.
void take_kernel(at::TensorIterator& iter, const at::TensorBase& input) {
  if (iter.numel() == 0) return;
  const at::Tensor line = at::Tensor(input).contiguous();
  const c10::DeviceIndex device = iterator_device(iter);
  Operand self = iterator_operand(iter, 0);
  self.data = line.data_ptr();
  std::fill_n(self.strides, self.ndim, 0);
  Launch l(index_family, move_type(iter.dtype(0)));
  l.raw(iterator_operand(iter, 0), true, device).raw(self, false, device);
  l.raw(iterator_operand(iter, 1), false, device).ints({true, line.numel(), 1}).may_fault();
  l.run(iter.numel(), grain_for(12));
}

void put_kernel(at::TensorIterator& iter, const at::TensorBase& self, const bool accumulate) {
  if (iter.numel() == 0) return;
  at::Tensor target(self);
  const at::Tensor line = target.contiguous();
  std::vector<Operand> operands = operands_of(iter, {1, 0, 1});
  operands[0].data = line.data_ptr();
  operands[0].dtype = dtype_of(line);
  std::fill_n(operands[0].strides, operands[0].ndim, 0);
  write_indexed(operands, line.scalar_type(), iterator_device(iter), {{line.numel(), 1}},
                accumulate ? kSum : kReplace);
  if (!line.is_same(target)) target.copy_(line);
}

// The iterator already steps backwards through its input: a copy is all there is to do.
void flip_kernel(at::TensorIterator& iter, const bool) {
  static const Family copy("copy");
  launch(iter, copy, dtype_of(iter.dtype(0)), [](Launch& l) { l.ints({0}); });
}

}  // namespace
}  // namespace trn::ops

namespace at::native {
using namespace trn::ops;
REGISTER_PRIVATEUSE1_DISPATCH(index_stub, &index_kernel)
REGISTER_PRIVATEUSE1_DISPATCH(index_put_stub, &index_put_kernel)
REGISTER_PRIVATEUSE1_DISPATCH(index_put_with_sort_stub, &index_put_with_sort_kernel)
REGISTER_PRIVATEUSE1_DISPATCH(index_fill_stub, &index_fill_kernel)
REGISTER_PRIVATEUSE1_DISPATCH(index_copy_stub, &index_copy_kernel)
REGISTER_PRIVATEUSE1_DISPATCH(take_stub, &take_kernel)
REGISTER_PRIVATEUSE1_DISPATCH(put_stub, &put_kernel)
REGISTER_PRIVATEUSE1_DISPATCH(flip_stub, &flip_kernel)
}  // namespace at::native
