// gather and the scatter family, along one dimension.
#include <ATen/TensorOperators.h>
#include <ATen/WrapDimUtils.h>
#include <ATen/native/DispatchStub.h>
#include <ATen/native/ReductionType.h>
#include <ATen/native/TensorAdvancedIndexing.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>

#include "ops/index.h"
#include "ops/iterator.h"
#include "scatter.structured.h"

namespace trn::ops {
namespace {

at::Tensor at_least_1d(const at::Tensor& t) { return t.dim() ? t : t.reshape({1}); }

// One index over `t` along dim. Negative indices do not count from the end here, as on CUDA.
Indexed along(const at::Tensor& t, int64_t dim) {
  return {{t.size(dim), t.stride(dim)}, /*wrap=*/false};
}

void gather_kernel(const at::Tensor& result, const at::Tensor& self, int64_t dim,
                   const at::Tensor& index) {
  if (index.numel() == 0) return;
  const at::Tensor out = at_least_1d(result), in = at_least_1d(self), at = at_least_1d(index);
  dim = at::maybe_wrap_dim(dim, in.dim());
  at::TensorIterator iter = iterate(out, {under_index(in, at.sizes(), dim), at});
  read_indexed(iter, along(in, dim));
}

// `scalar` stands for src where there is none.
void scatter_into(const at::Tensor& self, int64_t dim, const at::Tensor& index,
                  const at::Tensor& src, const at::Scalar* scalar, Reduction how) {
  if (index.numel() == 0) return;
  const at::Tensor out = at_least_1d(self), at = at_least_1d(index);
  dim = at::maybe_wrap_dim(dim, out.dim());
  std::vector<at::Tensor> inputs{at};
  if (!scalar) {
    const at::Tensor source = at_least_1d(src);
    inputs.push_back(source.as_strided(at.sizes(), source.strides()));
  }
  const at::TensorIterator iter = iterate(under_index(out, at.sizes(), dim), inputs);
  TORCH_CHECK(iter.ndim() <= kMaxDims, "scatter on trn takes tensors of at most ", kMaxDims,
              " dimensions, got ", iter.ndim());
  const Operand value =
      scalar ? immediate_bytes(*scalar, out.scalar_type()) : iterator_operand(iter, 2);
  write_indexed({iterator_operand(iter, 0), value, iterator_operand(iter, 1)}, out.scalar_type(),
                iterator_device(iter), along(out, dim), how);
}

Reduction reduction_of(const at::native::ReductionType& r) {
  using at::native::ReductionType;
  switch (r) {
    case ReductionType::SUM:
    case ReductionType::MEAN: return kSum;  // PyTorch divides means itself
    case ReductionType::PROD: return kProduct;
    case ReductionType::MAX: return kMaximum;
    default: return kMinimum;
  }
}

void scatter_kernel(const at::Tensor& self, int64_t dim, const at::Tensor& index,
                    const at::Tensor& src) {
  scatter_into(self, dim, index, src, nullptr, kReplace);
}
void scatter_fill_kernel(const at::Tensor& self, int64_t dim, const at::Tensor& index,
                         const at::Scalar& src) {
  scatter_into(self, dim, index, {}, &src, kReplace);
}
void scatter_add_kernel(const at::Tensor& self, int64_t dim, const at::Tensor& index,
                        const at::Tensor& src) {
  scatter_into(self, dim, index, src, nullptr, kSum);
}
void scatter_reduce_kernel(const at::Tensor& self, const int64_t dim, const at::Tensor& index,
                           const at::Tensor& src, const at::native::ReductionType& reduce) {
  scatter_into(self, dim, index, src, nullptr, reduction_of(reduce));
}
void scatter_scalar_reduce_kernel(const at::Tensor& self, const int64_t dim,
                                  const at::Tensor& index, const at::Scalar& value,
                                  const at::native::ReductionType& reduce) {
  scatter_into(self, dim, index, {}, &value, reduction_of(reduce));
}

// How many values meet in each place of a mean, at least 1. Where an index chooses whole rows, one
// count stands for a row.
at::Tensor counts_of(const at::Tensor& out, int64_t dim, const at::Tensor& index, bool one_more) {
  at::Tensor at = index;
  at::DimVector sizes(out.sizes());
  for (int64_t d = 0; d < out.dim(); ++d) {
    if (d == dim || index.stride(d) != 0 || index.size(d) != out.size(d)) continue;
    at = at.narrow(d, 0, 1);
    sizes[d] = 1;
  }
  at::Tensor counts = at::full(sizes, one_more ? 1 : 0, out.options());
  counts.scatter_add_(dim, at, at::ones(at.sizes(), out.options()));
  return counts.masked_fill_(counts == 0, 1);
}

}  // namespace

TRN_IMPL_FUNC(scatter_reduce_two_out)
(const at::Tensor& self, int64_t dim, const at::Tensor& index, const at::Tensor& src,
 std::string_view reduce, bool include_self, const at::Tensor& result) {
  at::Tensor out = result;
  if (!out.is_same(self)) out.copy_(self);
  if (index.numel() == 0) return;
  dim = at::maybe_wrap_dim(dim, self.dim());
  if (!include_self) out.scatter_(dim, index, start_of(reduce, out.scalar_type()));
  scatter_into(out, dim, index, src, nullptr, reduction_of(at::native::get_reduction_enum(reduce)));
  if (reduce != "mean") return;
  const at::Tensor counts = counts_of(out, dim, index, include_self);
  if (at::isIntegralType(out.scalar_type(), true)) out.div_(counts, "floor");
  else out.div_(counts);
}

}  // namespace trn::ops

namespace at::native {
using namespace trn::ops;
REGISTER_PRIVATEUSE1_DISPATCH(gather_stub, &gather_kernel)
REGISTER_PRIVATEUSE1_DISPATCH(scatter_stub, &scatter_kernel)
REGISTER_PRIVATEUSE1_DISPATCH(scatter_fill_stub, &scatter_fill_kernel)
REGISTER_PRIVATEUSE1_DISPATCH(scatter_add_stub, &scatter_add_kernel)
REGISTER_PRIVATEUSE1_DISPATCH(scatter_reduce_stub, &scatter_reduce_kernel)
REGISTER_PRIVATEUSE1_DISPATCH(scatter_scalar_reduce_stub, &scatter_scalar_reduce_kernel)
}  // namespace at::native
