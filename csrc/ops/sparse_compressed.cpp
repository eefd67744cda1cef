// Arithmetic of matrices of compressed rows or columns, by way of their elements.
#include <ATen/ExpandUtils.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/_sparse_compressed_tensor_unsafe.h>
#include <ATen/ops/add.h>
#include <ATen/ops/add_ops.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/addmm_ops.h>
#include <ATen/ops/addmv_ops.h>
#include <torch/library.h>

#include "ops/op.h"
#include "ops/sparse.h"

namespace trn::ops {
namespace {

bool is_compressed(const at::Tensor& t) {
  return t.layout() == at::kSparseCsr || t.layout() == at::kSparseCsc;
}

at::Tensor listed(const at::Tensor& t) { return is_compressed(t) ? t.to_sparse() : t; }

// A product on either side of a dense matrix, or of two that are compressed.
at::Tensor& addmm_compressed_out(const at::Tensor& self, const at::Tensor& mat1,
                                 const at::Tensor& mat2, const at::Scalar& beta,
                                 const at::Scalar& alpha, at::Tensor& out) {
  const bool dense = self.layout() == at::kStrided && out.layout() == at::kStrided;
  if (dense && is_compressed(mat1) && mat2.layout() == at::kStrided)
    return at::addmm_out(out, self, mat1.to_sparse(), mat2, beta, alpha);
  if (dense && mat1.layout() == at::kStrided && is_compressed(mat2)) {
    const auto added = at::expand_size(self, {mat1.size(0), mat2.size(1)}, "addmm_out");
    const at::Tensor turned = at::addmm(added->t(), mat2.to_sparse().t(), mat1.t(), beta, alpha);
    out.resize_(added->sizes());
    return out.copy_(turned.t());
  }
  if (is_compressed(mat1) && is_compressed(mat2) && out.layout() != at::kStrided) {
    at::Tensor product = sparse_matmul(mat1.to_sparse(), mat2.to_sparse());
    if (!alpha.equal(1)) product = product * alpha;
    if (beta.toComplexDouble() != 0.0) product = product + self.to_sparse() * beta;
    write_back(product.to_sparse(out.layout()), out);
    return out;
  }
  fallback<at::_ops::addmm_out>("no factor or result is dense", self, mat1, mat2, beta, alpha, out);
  return out;
}

at::Tensor& addmv_compressed_out(const at::Tensor& self, const at::Tensor& mat,
                                 const at::Tensor& vec, const at::Scalar& beta,
                                 const at::Scalar& alpha, at::Tensor& out) {
  if (!is_compressed(mat)) {
    fallback<at::_ops::addmv_out>("blocks of a matrix", self, mat, vec, beta, alpha, out);
    return out;
  }
  const auto added = at::expand_size(self, {mat.size(0)}, "addmv_out");
  const at::Tensor column =
      at::addmm(added->unsqueeze(1), mat.to_sparse(), vec.unsqueeze(1), beta, alpha);
  out.resize_({mat.size(0)});
  return out.copy_(column.squeeze(1));
}

// Whether two have elements at the same places, as what is trained and its gradient have. Waits.
bool one_pattern(const at::Tensor& a, const at::Tensor& b) {
  if (!is_compressed(a) || a.layout() != b.layout() || !a.sizes().equals(b.sizes()) ||
      a._nnz() != b._nnz() || a.values().sizes() != b.values().sizes())
    return false;
  return a.layout() == at::kSparseCsr
             ? a.crow_indices().equal(b.crow_indices()) && a.col_indices().equal(b.col_indices())
             : a.ccol_indices().equal(b.ccol_indices()) && a.row_indices().equal(b.row_indices());
}

// Sums, with dense ones too.
at::Tensor& add_compressed_out(const at::Tensor& self, const at::Tensor& other,
                               const at::Scalar& alpha, at::Tensor& out) {
  if (one_pattern(self, other) && out.layout() == self.layout()) {
    const bool rows = self.layout() == at::kSparseCsr;
    const at::Tensor values = at::add(self.values(), other.values(), alpha);
    write_back(at::_sparse_compressed_tensor_unsafe(
                   rows ? self.crow_indices() : self.ccol_indices(),
                   rows ? self.col_indices() : self.row_indices(), values.to(out.scalar_type()),
                   self.sizes(), out.options()),
               out);
    return out;
  }
  const at::Tensor a = listed(self), b = listed(other);
  const bool same = self.sizes().equals(other.sizes()) && self.dim() == 2;
  if (same && is_compressed(out) && a.is_sparse() && b.is_sparse()) {
    write_back(at::add(a, b, alpha).to_sparse(out.layout()).to(out.scalar_type()), out);
    return out;
  }
  if (same && out.layout() == at::kStrided && a.is_sparse() != b.is_sparse())
    return b.is_sparse() ? at::add_out(out, a, b, alpha) : at::add_out(out, b * alpha, a);
  fallback<at::_ops::add_out>("blocks, batches or other shapes", self, other, alpha, out);
  return out;
}

TORCH_LIBRARY_IMPL(aten, SparseCsrPrivateUse1, m) {
  m.impl("_copy_from_and_resize", &write_back);
  m.impl("add.out", &add_compressed_out);
  m.impl("addmm.out", &addmm_compressed_out);
  m.impl("addmv.out", &addmv_compressed_out);
}

}  // namespace
}  // namespace trn::ops
