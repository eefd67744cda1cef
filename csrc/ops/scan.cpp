// Running sums, products, extremes and log-sum-exps along one dimension.
#include <ATen/WrapDimUtils.h>
#include <ATen/native/DispatchStub.h>
#include <ATen/native/ReduceOps.h>
#include <ATen/native/Resize.h>
#include <ATen/ops/empty_like.h>

#include "ops/index.h"

namespace trn::ops {
namespace {

const Family cumsum_family("cumsum"), cumprod_family("cumprod"),
    logcumsumexp_family("logcumsumexp"), cummax_family("cummax"), cummin_family("cummin");

void scan(const at::Tensor& out, const at::Tensor& self, int64_t dim, const Family& family) {
  if (self.numel() == 0) return;
  dim = at::maybe_wrap_dim(dim, self.dim());
  const at::Tensor in = self.to(out.scalar_type());
  const at::Tensor dense =
      out.is_contiguous() ? out : at::empty_like(out, at::MemoryFormat::Contiguous);
  const at::Tensor src = three_way(in, dim);
  Launch(family, dtype_of(out))
      .out(three_way(dense, dim))
      .in(src)
      .run(src.size(0) * src.size(2), grain_for(src.size(1) * 2));
  if (!dense.is_same(out)) out.copy_(dense);
}
void cumsum_kernel(const at::Tensor& out, const at::Tensor& self, int64_t dim) {
  scan(out, self, dim, cumsum_family);
}
void cumprod_kernel(const at::Tensor& out, const at::Tensor& self, int64_t dim) {
  scan(out, self, dim, cumprod_family);
}

void running_extreme(const at::Tensor& self, at::Tensor& values, at::Tensor& indices, int64_t dim,
                     const Family& family) {
  if (self.numel() == 0) return;
  dim = at::maybe_wrap_dim(dim, self.dim());
  const at::Tensor v = at::empty_like(values, at::MemoryFormat::Contiguous);
  const at::Tensor x = at::empty_like(indices, at::MemoryFormat::Contiguous);
  const at::Tensor src = three_way(self, dim);
  Launch(family, dtype_of(self))
      .out(three_way(v, dim))
      .out(three_way(x, dim))
      .in(src)
      .run(src.size(0) * src.size(2), grain_for(src.size(1) * 3));
  values.copy_(v);
  indices.copy_(x);
}

}  // namespace

void TRN_OP(_cummax_helper)(const at::Tensor& self, at::Tensor& values, at::Tensor& indices,
                            int64_t dim) {
  running_extreme(self, values, indices, dim, cummax_family);
}
void TRN_OP(_cummin_helper)(const at::Tensor& self, at::Tensor& values, at::Tensor& indices,
                            int64_t dim) {
  running_extreme(self, values, indices, dim, cummin_family);
}

at::Tensor& TRN_OP(_logcumsumexp_out)(const at::Tensor& self, int64_t dim, at::Tensor& out) {
  dim = at::maybe_wrap_dim(dim, self.dim());
  at::native::resize_output(out, self.sizes());
  scan(out, self, dim, logcumsumexp_family);
  return out;
}
at::Tensor TRN_OP(_logcumsumexp)(const at::Tensor& self, int64_t dim) {
  at::Tensor out = at::empty_like(self, at::MemoryFormat::Contiguous);
  return ops::_logcumsumexp_out(self, dim, out);
}

}  // namespace trn::ops

namespace at::native {
using namespace trn::ops;
REGISTER_PRIVATEUSE1_DISPATCH(cumsum_stub, &cumsum_kernel)
REGISTER_PRIVATEUSE1_DISPATCH(cumprod_stub, &cumprod_kernel)
}  // namespace at::native
