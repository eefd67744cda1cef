// What sparse tensors need of the device itself; the rest is PyTorch's own (codegen/layouts.py).
#include <ATen/ExpandUtils.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/resize_as_sparse.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include "ops/op.h"

namespace trn::ops {
namespace {

// How the fallback writes a result back into a sparse output.
at::Tensor write_back(const at::Tensor& self, const at::Tensor& dst) {
  const at::Tensor here = self.to(dst.device());
  at::resize_as_sparse_(dst, here);
  at::Tensor to = dst;
  to.copy_(here);
  return dst;
}

// out = beta * self + alpha * (sparse @ dense): a row of `dense` for every element, added in order.
at::Tensor& addmm_out(const at::Tensor& self, const at::Tensor& sparse, const at::Tensor& dense,
                      const at::Scalar& beta, const at::Scalar& alpha, at::Tensor& out) {
  TORCH_CHECK(sparse.is_sparse() && sparse.sparse_dim() == 2 && sparse.dense_dim() == 0,
              "addmm: Expected 'mat1' to be a sparse matrix of two dimensions");
  TORCH_CHECK(dense.layout() == at::kStrided && dense.dim() == 2,
              "addmm: Expected 'mat2' to be a dense matrix, but got ", dense.dim(), " dimensions");
  TORCH_CHECK(sparse.size(1) == dense.size(0), "addmm: Argument #3: Expected dim 0 size ",
              sparse.size(1), ", got ", dense.size(0));
  const auto added = at::expand_size(self, {sparse.size(0), dense.size(1)}, "addmm_out");
  at::Tensor result = beta.toComplexDouble() == 0.0
                          ? at::zeros({sparse.size(0), dense.size(1)}, dense.options())
                          : added->mul(beta);
  const at::Tensor indices = sparse._indices();
  const at::Tensor rows = sparse._values().unsqueeze(1).mul(dense.index_select(0, indices[1]));
  result.index_add_(0, indices[0], rows, alpha);
  out.resize_(result.sizes());
  return out.copy_(result);
}

at::Tensor addmm(const at::Tensor& self, const at::Tensor& sparse, const at::Tensor& dense,
                 const at::Scalar& beta, const at::Scalar& alpha) {
  at::Tensor out = at::empty({0}, dense.options());
  return addmm_out(self, sparse, dense, beta, alpha, out);
}

at::Tensor& addmm_(at::Tensor& self, const at::Tensor& sparse, const at::Tensor& dense,
                   const at::Scalar& beta, const at::Scalar& alpha) {
  return addmm_out(self, sparse, dense, beta, alpha, self);
}

TORCH_LIBRARY_IMPL(aten, SparsePrivateUse1, m) {
  m.impl("_copy_from_and_resize", &write_back);
  m.impl("addmm", &addmm);
  m.impl("addmm_", &addmm_);
  m.impl("addmm.out", &addmm_out);
}
TORCH_LIBRARY_IMPL(aten, SparseCsrPrivateUse1, m) { m.impl("_copy_from_and_resize", &write_back); }

}  // namespace
}  // namespace trn::ops
