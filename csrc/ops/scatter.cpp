// gather and the scatter family, along one dimension.
#include <ATen/WrapDimUtils.h>
#include <ATen/native/DispatchStub.h>
#include <ATen/native/ReductionType.h>
#include <ATen/native/TensorAdvancedIndexing.h>

#include "ops/index.h"

namespace trn::ops {
namespace {

const Family gather_family("gather"), scatter_family("scatter");

at::Tensor at_least_1d(const at::Tensor& t) { return t.dim() ? t : t.reshape({1}); }

// A tensor in the shape of an index, its stride along dim 0: the kernel adds that step itself.
at::Tensor under(const at::Tensor& t, const at::Tensor& index, int64_t dim) {
  std::vector<int64_t> strides = t.strides().vec();
  strides[dim] = 0;
  return t.as_strided(index.sizes(), strides);
}

void gather_kernel(const at::Tensor& result, const at::Tensor& self, int64_t dim,
                   const at::Tensor& index) {
  if (index.numel() == 0) return;
  const at::Tensor out = at_least_1d(result), in = at_least_1d(self), at = at_least_1d(index);
  dim = at::maybe_wrap_dim(dim, in.dim());
  Launch(gather_family, move_type(self.scalar_type()))
      .out(out).in(under(in, at, dim)).in(at)
      .ints({in.size(dim), in.stride(dim)}).may_fault()
      .run(at.numel(), grain_for(12));
}

// Lines along dim are items, so dim is brought last. `scalar` stands for src where it is given.
void scatter_lines(const at::Tensor& self, int64_t dim, const at::Tensor& index,
                   const at::Tensor& src, const at::Scalar* scalar, int64_t how) {
  if (index.numel() == 0) return;
  const at::Tensor out = at_least_1d(self), at = at_least_1d(index);
  dim = at::maybe_wrap_dim(dim, out.dim());
  const at::Tensor moved = at.movedim(dim, -1);
  const auto last = [&](const at::Tensor& t) { return t.movedim(dim, -1); };
  Launch l(scatter_family, dtype_of(self));
  l.out(last(under(out, at, dim))).in(moved);
  if (scalar) {
    l.scalar(*scalar, dtype_of(self));
  } else {
    at::Tensor source = at_least_1d(src);
    source = source.as_strided(at.sizes(), source.strides());
    l.in(last(source));
  }
  l.ints({out.size(dim), out.stride(dim), how}).may_fault();
  l.run(moved.numel() / moved.size(-1), grain_for(moved.size(-1) * 8));
}

int64_t reduction_of(const at::native::ReductionType& r) {
  using at::native::ReductionType;
  switch (r) {
    case ReductionType::SUM: case ReductionType::MEAN: return kSum;
    case ReductionType::PROD: return kProduct;
    case ReductionType::MAX: return kMaximum;
    default: return kMinimum;
  }
}

void scatter_kernel(const at::Tensor& self, int64_t dim, const at::Tensor& index,
                    const at::Tensor& src) {
  scatter_lines(self, dim, index, src, nullptr, kReplace);
}
void scatter_fill_kernel(const at::Tensor& self, int64_t dim, const at::Tensor& index,
                         const at::Scalar& src) {
  scatter_lines(self, dim, index, {}, &src, kReplace);
}
void scatter_add_kernel(const at::Tensor& self, int64_t dim, const at::Tensor& index,
                        const at::Tensor& src) {
  scatter_lines(self, dim, index, src, nullptr, kSum);
}
void scatter_reduce_kernel(const at::Tensor& self, const int64_t dim, const at::Tensor& index,
                           const at::Tensor& src, const at::native::ReductionType& reduce) {
  scatter_lines(self, dim, index, src, nullptr, reduction_of(reduce));
}
void scatter_scalar_reduce_kernel(const at::Tensor& self, const int64_t dim,
                                  const at::Tensor& index, const at::Scalar& value,
                                  const at::native::ReductionType& reduce) {
  scatter_lines(self, dim, index, {}, &value, reduction_of(reduce));
}

}  // namespace
}  // namespace trn::ops

namespace at::native {
using namespace trn::ops;
REGISTER_PRIVATEUSE1_DISPATCH(gather_stub, &gather_kernel)
REGISTER_PRIVATEUSE1_DISPATCH(scatter_stub, &scatter_kernel)
REGISTER_PRIVATEUSE1_DISPATCH(scatter_fill_stub, &scatter_fill_kernel)
REGISTER_PRIVATEUSE1_DISPATCH(scatter_add_stub, &scatter_add_kernel)
REGISTER_PRIVATEUSE1_DISPATCH(scatter_reduce_stub, &scatter_reduce_kernel)
REGISTER_PRIVATEUSE1_DISPATCH(scatter_scalar_reduce_stub, &scatter_scalar_reduce_kernel)
REGISTER_PRIVATEUSE1_DISPATCH(scatter_reduce_two_stub, &scatter_reduce_kernel)
}  // namespace at::native
