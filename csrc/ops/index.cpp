// index, index_put, index_select, index_add, take, put, masked_select and nonzero.
#include "ops/index.h"

#include <ATen/ExpandUtils.h>
#include <ATen/WrapDimUtils.h>
#include <ATen/native/DispatchStub.h>
#include <ATen/native/IndexKernel.h>
#include <ATen/native/ReductionType.h>
#include <ATen/native/Resize.h>
#include <ATen/native/TensorAdvancedIndexing.h>
#include <ATen/native/IndexingUtils.h>
#include <ATen/ops/cumsum.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full.h>
#include <ATen/Dispatch.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/ne.h>
#include <ATen/ops/nonzero.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/zeros_like.h>
#include <ATen/ops/sum.h>

#include "index.structured.h"
#include "ops/elementwise.h"
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

namespace {

const Family index_family("index"), index_put_family("index_put"),
    index_put_accumulate_family("index_put_accumulate"), index_select_family("index_select"),
    index_add_family("index_add"), take_family("take"), put_family("put"),
    count_chunks("count_chunks"), nonzero_chunks("nonzero_chunks"),
    masked_scatter("masked_scatter");

// An indexing iterator has at most six index operands beside two; PyTorch's limit is higher, but
// kMaxOperands' is what a packet holds.
void launch_indexed(at::TensorIteratorBase& iter, const Family& family, DType type,
                    at::IntArrayRef sizes, at::IntArrayRef strides, bool serial) {
  if (iter.numel() == 0) return;
  TORCH_CHECK(iter.ntensors() <= kMaxOperands && iter.ndim() <= kMaxDims,
              "indexing with ", iter.ntensors() - 2, " tensors over ", iter.ndim(),
              " dimensions is not supported on trn");
  Launch l(family, type);
  for (int i = 0; i < iter.ntensors(); ++i)
    l.raw(iterator_operand(iter, i), i < iter.noutputs(), iterator_device(iter));
  const int64_t bytes = iter.element_size(0);
  for (size_t k = 0; k < sizes.size(); ++k) l.ints({sizes[k], strides[k] / bytes});
  l.may_fault().run(serial ? 1 : iter.numel(), grain_for(4 * iter.ntensors()));
}

void index_kernel(at::TensorIteratorBase& iter, at::IntArrayRef sizes, at::IntArrayRef strides) {
  launch_indexed(iter, index_family, move_type(iter.dtype(0)), sizes, strides, false);
}

void index_put_kernel(at::TensorIterator& iter, at::IntArrayRef sizes, at::IntArrayRef strides,
                      bool accumulate) {
  if (accumulate)
    launch_indexed(iter, index_put_accumulate_family, dtype_of(iter.dtype(0)), sizes, strides, true);
  else
    launch_indexed(iter, index_put_family, move_type(iter.dtype(0)), sizes, strides, true);
}

at::Tensor flat_index(const at::Tensor& index) {
  return index.dim() == 0 ? index.reshape({1}) : index;
}

void select_into(const at::Tensor& out, const at::Tensor& self, int64_t dim,
                 const at::Tensor& index) {
  if (out.numel() == 0) return;
  const at::Tensor dense = out.is_contiguous() ? out : at::empty_like(out, at::MemoryFormat::Contiguous);
  const at::Tensor src = three_way(self, dim), dst = three_way(dense, dim);
  Launch(index_select_family, move_type(self.scalar_type()))
      .out(dst).in(src).in(flat_index(index)).may_fault()
      .run(dst.size(0) * dst.size(1), grain_for(dst.size(2) + 8));
  if (!dense.is_same(out)) out.copy_(dense);
}


void add_rows(const at::Tensor& out, int64_t dim, const at::Tensor& index,
              const at::Tensor& source, const at::Scalar& alpha, int64_t how) {
  if (source.numel() == 0 || index.numel() == 0) return;
  // Written in place: a view that had to be copied is copied back.
  const at::Tensor dst = three_way(out, dim);
  const at::Tensor src = three_way(source.dim() ? source : source.reshape({1}), source.dim() ? dim : 0);
  const int64_t strips = (dst.size(2) + 63) / 64;
  const bool integral = at::isIntegralType(out.scalar_type(), true);
  const auto z = alpha.toComplexDouble();
  Launch(index_add_family, dtype_of(out))
      .out(dst).in(flat_index(index)).in(src)
      .ints({how, integral ? alpha.toLong() : 0}).reals({z.real(), z.imag()}).may_fault()
      .run(dst.size(0) * strips, grain_for(src.size(1) * 64));
  if (dst.data_ptr() != out.data_ptr()) out.copy_(dst.view(out.sizes()));
}

}  // namespace

at::Tensor& TRN_OP(index_select_out)(const at::Tensor& self, int64_t dim, const at::Tensor& index,
                                     at::Tensor& out) {
  dim = at::maybe_wrap_dim(dim, self.dim());
  TORCH_CHECK(index.dim() <= 1, "index_select(): Index is supposed to be a vector, but got dim: ",
              index.dim());
  TORCH_CHECK(index.scalar_type() == at::kLong || index.scalar_type() == at::kInt,
              "index_select(): Expected dtype int32 or int64 for index, but got: ",
              index.scalar_type());
  TORCH_CHECK(self.scalar_type() == out.scalar_type(),
              "index_select(): self and result must have the same scalar type");
  TORCH_CHECK(self.dim() > 0 || index.numel() == 1,
              "index_select(): Index to scalar can have only 1 value, got ", index.numel(),
              " value(s)");
  std::vector<int64_t> sizes = self.sizes().vec();
  if (self.dim()) sizes[dim] = index.numel();
  at::native::resize_output(out, sizes);
  select_into(out, self, dim, index);
  return out;
}

at::Tensor TRN_OP(index_select)(const at::Tensor& self, int64_t dim, const at::Tensor& index) {
  at::Tensor out = at::empty({0}, self.options());
  return ops::index_select_out(self, dim, index, out);
}

TRN_IMPL_FUNC(index_add_out)(const at::Tensor& self, int64_t dim, const at::Tensor& index,
                             const at::Tensor& source, const at::Scalar& alpha,
                             const at::Tensor& out) {
  if (!out.is_same(self)) out.copy_(self);
  add_rows(out, out.dim() ? at::maybe_wrap_dim(dim, out.dim()) : 0, index, source, alpha, kSum);
}

TRN_IMPL_FUNC(index_reduce_out)(const at::Tensor& self, int64_t dim, const at::Tensor& index,
                                const at::Tensor& source, std::string_view reduce,
                                bool include_self, const at::Tensor& result) {
  if (!result.is_same(self)) result.copy_(self);
  at::Tensor target = result;
  TORCH_CHECK(reduce == "prod" || reduce == "mean" || reduce == "amax" || reduce == "amin",
              "reduce argument must be either prod, mean, amax or amin, got ", reduce, ".");
  if (!include_self) {
    const double start = reduce == "prod" ? 1 : reduce == "mean" ? 0
                         : reduce == "amax" ? -INFINITY : INFINITY;
    if (at::isFloatingType(result.scalar_type()) || std::isfinite(start)) {
      target.index_fill_(dim, index, start);
    } else {
      // An integer's own extreme stands for infinity.
      const at::Scalar limit = AT_DISPATCH_INTEGRAL_TYPES(result.scalar_type(), "index_reduce", [&] {
        return at::Scalar(static_cast<int64_t>(start < 0 ? std::numeric_limits<scalar_t>::lowest()
                                                         : std::numeric_limits<scalar_t>::max()));
      });
      target.index_fill_(dim, index, limit);
    }
  }
  dim = result.dim() ? at::maybe_wrap_dim(dim, result.dim()) : 0;
  const int64_t how = reduce == "prod" ? kProduct : reduce == "mean" ? kSum
                      : reduce == "amax" ? kMaximum : kMinimum;
  add_rows(result, dim, index, source, 1, how);
  if (reduce == "mean") {
    at::Tensor counts = include_self ? at::ones_like(result) : at::zeros_like(result);
    counts.index_add_(dim, index, at::ones_like(source));
    counts.masked_fill_(counts == 0, 1);
    if (at::isFloatingType(result.scalar_type())) target.div_(counts);
    else target.div_(counts, "floor");
  }
}

at::Tensor mask_ends(const at::Tensor& mask) {
  const at::Tensor flags = mask.scalar_type() == at::kBool ? mask : at::ne(mask, 0);
  const int64_t chunks = (flags.numel() + kMaskChunk - 1) / kMaskChunk;
  const at::Tensor counts = at::empty({chunks}, mask.options().dtype(at::kLong));
  Launch(count_chunks, DType::u8).out(counts).in(flags).ints({kMaskChunk}).run(chunks, grain_for(kMaskChunk));
  return at::cumsum(counts, 0);
}

at::Tensor& TRN_OP(nonzero_out)(const at::Tensor& self, at::Tensor& out) {
  TORCH_CHECK(out.scalar_type() == at::kLong,
              "nonzero: Expected out tensor to have scalar type ", at::kLong, " but got scalar type ",
              out.scalar_type());
  if (self.numel() == 0) {
    at::native::resize_output(out, {0, self.dim()});
    return out;
  }
  const at::Tensor flags = self.scalar_type() == at::kBool ? self : at::ne(self, 0);
  const at::Tensor ends = mask_ends(flags);
  // The size of the result is in the data: this waits, as it does on CUDA.
  const int64_t n = ends[-1].item<int64_t>();
  at::native::resize_output(out, {n, self.dim()});
  if (n == 0) return out;
  const at::Tensor target = at::empty({n, std::max<int64_t>(self.dim(), 1)}, out.options());
  Launch(nonzero_chunks, DType::u8).out(target).in(flags).in(ends).ints({kMaskChunk})
      .run(ends.numel(), grain_for(kMaskChunk * 4));
  if (self.dim()) out.copy_(target);
  return out;
}

at::Tensor TRN_OP(nonzero)(const at::Tensor& self) {
  at::Tensor out = at::empty({0}, self.options().dtype(at::kLong));
  return ops::nonzero_out(self, out);
}

at::Tensor& TRN_OP(masked_select_out)(const at::Tensor& self, const at::Tensor& mask,
                                      at::Tensor& out) {
  TORCH_CHECK(mask.scalar_type() == at::kBool,
              "masked_select: expected BoolTensor for mask");
  TORCH_CHECK(self.scalar_type() == out.scalar_type(),
              "masked_select(): self and result must have the same scalar type");
  const auto [expanded_mask, expanded] = at::expand_outplace(mask, self);
  const at::Tensor flat = expanded->reshape({-1}), flags = expanded_mask->reshape({-1});
  const at::Tensor where = at::nonzero(flags).view({-1});
  return at::index_select_out(out, flat, 0, where);
}

at::Tensor TRN_OP(masked_select)(const at::Tensor& self, const at::Tensor& mask) {
  at::Tensor out = at::empty({0}, self.options());
  return ops::masked_select_out(self, mask, out);
}

at::Tensor& TRN_OP(masked_scatter_)(at::Tensor& self, const at::Tensor& mask,
                                    const at::Tensor& source) {
  TORCH_CHECK(self.scalar_type() == source.scalar_type(),
              "masked_scatter: expected self and source to have same dtypes but got ",
              self.scalar_type(), " and ", source.scalar_type());
  TORCH_CHECK(mask.scalar_type() == at::kBool,
              "masked_scatter_ only supports boolean masks, but got mask with dtype ",
              mask.scalar_type());
  if (self.numel() == 0) return self;
  const at::Tensor flags = mask.expand_as(self);
  const at::Tensor ends = mask_ends(flags);
  const at::Tensor values = source.contiguous();
  Launch(masked_scatter, move_type(self.scalar_type()))
      .out(self).in(flags).in(values).in(ends).ints({kMaskChunk})
      .run(ends.numel(), grain_for(kMaskChunk * 4));
  return self;
}

namespace {

// Tensor indices brought into the form that index_put_kernel takes: self with stride 0 along the
// indexed dimensions, which have the indices' shape, and each index broadcast against it.
struct Indexed {
  at::Tensor self;
  std::vector<at::Tensor> indices;
  std::vector<int64_t> sizes, strides;  // of the indexed dimensions; strides in bytes
};

Indexed prepare(at::Tensor self, const c10::List<std::optional<at::Tensor>>& given) {
  at::native::checkIndexTensorTypes(given, /*allow_int=*/true);
  std::vector<at::Tensor> indices = at::expand_outplace(at::native::expandTensors(self, given));
  indices.resize(self.dim());
  if (!at::native::hasContiguousSubspace(indices))
    std::tie(self, indices) = at::native::transposeToFront(self, indices);
  Indexed result;
  std::vector<int64_t> shape, strides;
  int64_t before = 0, after = 0;
  at::IntArrayRef replacement;
  for (int64_t d = 0; d < self.dim(); ++d) {
    if (!indices[d].defined()) {
      ++(replacement.data() ? after : before);
      shape.push_back(self.size(d));
      strides.push_back(self.stride(d));
      continue;
    }
    if (!replacement.data()) {
      replacement = indices[d].sizes();
      shape.insert(shape.end(), replacement.begin(), replacement.end());
      strides.insert(strides.end(), replacement.size(), 0);
    }
    TORCH_CHECK_INDEX(self.size(d) > 0 || indices[d].numel() == 0,
                      "index is out of bounds for dimension with size 0");
    result.sizes.push_back(self.size(d));
    result.strides.push_back(self.stride(d) * self.element_size());
  }
  for (const at::Tensor& index : indices) {
    if (!index.defined()) continue;
    std::vector<int64_t> sizes(before, 1);
    sizes.insert(sizes.end(), index.sizes().begin(), index.sizes().end());
    sizes.insert(sizes.end(), after, 1);
    result.indices.push_back(index.to(at::kLong).reshape(sizes));
  }
  result.self = self.as_strided(shape, strides);
  return result;
}

// Accumulation comes here with its indices unprepared; additions are made in order.
void index_put_in_order(at::Tensor& self, const c10::List<std::optional<at::Tensor>>& indices,
                        const at::Tensor& value, bool accumulate, bool) {
  const Indexed indexed = prepare(self, indices);
  TORCH_CHECK(at::is_expandable_to(value.sizes(), indexed.self.sizes()),
              "shape mismatch: value tensor of shape ", value.sizes(),
              " cannot be broadcast to indexing result of shape ", indexed.self.sizes());
  at::TensorIteratorConfig config;
  config.set_check_mem_overlap(false)
      .resize_outputs(false)
      .check_all_same_dtype(false)
      .add_output(indexed.self)
      .add_owned_const_input(value.expand(indexed.self.sizes()));
  for (const at::Tensor& index : indexed.indices) config.add_const_input(index);
  auto iter = config.build();
  index_put_kernel(iter, indexed.sizes, indexed.strides, accumulate);
}

void take_kernel(at::TensorIterator& iter, const at::TensorBase& input) {
  if (iter.numel() == 0) return;
  const at::Tensor dense = at::Tensor(input).contiguous().view({-1});
  Launch l(take_family, move_type(iter.dtype(0)));
  l.raw(iterator_operand(iter, 0), true, iterator_device(iter));
  l.raw(iterator_operand(iter, 1), false, iterator_device(iter));
  l.in(dense).ints({dense.numel()}).may_fault().run(iter.numel(), grain_for(12));
}

void put_kernel(at::TensorIterator& iter, const at::TensorBase& self, const bool accumulate) {
  if (iter.numel() == 0) return;
  const at::Tensor target(self), dense = target.contiguous();
  Launch l(put_family, dtype_of(target));
  l.out(dense.view({-1}));
  l.raw(iterator_operand(iter, 1), false, iterator_device(iter));
  l.raw(iterator_operand(iter, 0), false, iterator_device(iter));
  l.ints({dense.numel(), accumulate}).may_fault().run(1, 1);
  if (!dense.is_same(target)) target.copy_(dense);
}

// The iterator restrides self to 0 along dim: index operand 1 chooses the place.
void index_fill_kernel(at::TensorIterator& iter, int64_t, int64_t size, int64_t stride,
                       const at::Scalar& source) {
  if (iter.numel() == 0) return;
  const at::Tensor value = at::full({}, source, iter.tensor(0).options());
  Launch l(index_put_family, move_type(iter.dtype(0)));
  const c10::DeviceIndex device = iterator_device(iter);
  const Operand index = iterator_operand(iter, 1);
  Operand broadcast = index;  // the value in the iteration shape
  broadcast.data = value.data_ptr();
  broadcast.dtype = dtype_of(value);
  for (int d = 0; d < broadcast.ndim; ++d) broadcast.strides[d] = 0;
  l.raw(iterator_operand(iter, 0), true, device).raw(broadcast, false, device);
  l.raw(index, false, device).ints({size, stride}).may_fault().run(1, 1);
}

void index_copy_kernel(at::TensorIterator& iter, int64_t, int64_t size, int64_t stride) {
  if (iter.numel() == 0) return;
  const c10::DeviceIndex device = iterator_device(iter);
  Launch(index_put_family, move_type(iter.dtype(0)))
      .raw(iterator_operand(iter, 0), true, device).raw(iterator_operand(iter, 2), false, device)
      .raw(iterator_operand(iter, 1), false, device)
      .ints({size, stride}).may_fault().run(1, 1);
}

void flip_kernel(at::TensorIterator& iter, const bool) {
  // The iterator already steps backwards through its input: a copy is all there is to do.
  static const Family copy("copy");
  launch(iter, copy, dtype_of(iter.dtype(0)), [](Launch& l) { l.ints({0}); });
}

}  // namespace
}  // namespace trn::ops

namespace at::native {
using namespace trn::ops;
REGISTER_PRIVATEUSE1_DISPATCH(index_stub, &index_kernel)
REGISTER_PRIVATEUSE1_DISPATCH(index_put_stub, &index_put_kernel)
REGISTER_PRIVATEUSE1_DISPATCH(index_put_with_sort_stub, &index_put_in_order)
REGISTER_PRIVATEUSE1_DISPATCH(index_fill_stub, &index_fill_kernel)
REGISTER_PRIVATEUSE1_DISPATCH(index_copy_stub, &index_copy_kernel)
REGISTER_PRIVATEUSE1_DISPATCH(take_stub, &take_kernel)
REGISTER_PRIVATEUSE1_DISPATCH(put_stub, &put_kernel)
REGISTER_PRIVATEUSE1_DISPATCH(flip_stub, &flip_kernel)
}  // namespace at::native
