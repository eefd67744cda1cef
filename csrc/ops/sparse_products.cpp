// Products of sparse tensors with sparse ones, in batches, and at the places of a pattern.
#include <ATen/TensorOperators.h>
#include <ATen/ops/_sparse_coo_tensor_unsafe.h>
#include <ATen/ops/_sparse_csr_tensor_unsafe.h>
#include <ATen/ops/_sparse_mask_projection_ops.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/index_select_ops.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/repeat_interleave.h>
#include <ATen/ops/searchsorted.h>
#include <ATen/ops/sparse_sampled_addmm_ops.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include "ops/op.h"
#include "ops/sparse.h"

namespace trn::ops {

std::pair<at::Tensor, at::Tensor> spread(const at::Tensor& begin, const at::Tensor& count) {
  const at::Tensor which = at::repeat_interleave(count);
  const at::Tensor before = begin - (count.cumsum(0) - count);
  const at::Tensor place =
      at::arange(which.size(0), begin.options()) + before.index_select(0, which);
  return {which, place};
}

namespace {

// Numbers of the elements of coalesced a that coalesced b has, too, and of those in b.
std::pair<at::Tensor, at::Tensor> common(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor own = places_of(a), others = places_of(b);
  if (!own.size(0) || !others.size(0)) {
    const at::Tensor none = at::empty({0}, own.options());
    return {none, none};
  }
  const at::Tensor at = at::searchsorted(others, own).clamp_max(others.size(0) - 1);
  const at::Tensor both = others.index_select(0, at).eq(own).nonzero().squeeze(1);
  return {both, at.index_select(0, both)};
}

}  // namespace

at::Tensor intersection(const at::Tensor& a, const at::Tensor& b, at::ScalarType type) {
  const auto [of_a, of_b] = common(a, b);
  const at::Tensor values =
      a._values().index_select(0, of_a).to(type) * b._values().index_select(0, of_b).to(type);
  return at::_sparse_coo_tensor_unsafe(a._indices().index_select(1, of_a), values, a.sizes())
      ._coalesced_(true);
}

// An element of `a` for each of the row of `b` that it meets; those of one place are added up.
at::Tensor sparse_matmul(const at::Tensor& self, const at::Tensor& other) {
  TORCH_CHECK(
      self.dim() == 2 && other.dim() == 2 && self.dense_dim() == 0 && other.dense_dim() == 0,
      "sparse_sparse_matmul: both factors have to be matrices without dense dimensions");
  TORCH_CHECK(self.size(1) == other.size(0), "mat1 and mat2 shapes cannot be multiplied (",
              self.size(0), "x", self.size(1), " and ", other.size(0), "x", other.size(1), ")");
  TORCH_CHECK(self.scalar_type() == other.scalar_type(), "mat1 dtype ", self.scalar_type(),
              " does not match mat2 dtype ", other.scalar_type());
  const at::Tensor a = self.coalesce(), b = other.coalesce(), rows = b._indices()[0].contiguous();
  const at::Tensor first = at::searchsorted(rows, at::arange(other.size(0) + 1, rows.options()));
  const at::Tensor begin = first.index_select(0, a._indices()[1]);
  const at::Tensor end = first.index_select(0, a._indices()[1] + 1);
  const auto [of_a, of_b] = spread(begin, end - begin);
  const at::Tensor indices =
      at::stack({a._indices()[0].index_select(0, of_a), b._indices()[1].index_select(0, of_b)});
  const at::Tensor values = a._values().index_select(0, of_a) * b._values().index_select(0, of_b);
  return at::_sparse_coo_tensor_unsafe(indices, values, {self.size(0), other.size(1)}).coalesce();
}

namespace {

// One product with the blocks of a batch along the diagonal.
at::Tensor& bmm_out(const at::Tensor& self, const at::Tensor& mat2, at::Tensor& out) {
  TORCH_CHECK(self.is_sparse() && self.sparse_dim() == 3 && self.dense_dim() == 0,
              "bmm_sparse: Tensor 'self' must have 3 sparse dims, but has ", self.sparse_dim());
  TORCH_CHECK(mat2.layout() == at::kStrided && mat2.dim() == 3,
              "bmm_sparse: Tensor 'mat2' must be dense and have 3 dims, but has ", mat2.dim());
  TORCH_CHECK(self.size(0) == mat2.size(0),
              "bmm_sparse: 'self.size(0)' and 'mat2.size(0)' must match");
  TORCH_CHECK(self.size(2) == mat2.size(1),
              "bmm_sparse: 'self.size(2)' and 'mat2.size(1)' must match");
  TORCH_CHECK(self.scalar_type() == mat2.scalar_type(), "expected scalar type ", self.scalar_type(),
              " but found ", mat2.scalar_type());
  const at::Tensor i = self._indices();
  const at::Tensor dense = mat2.reshape({-1, mat2.size(2)});
  const at::Tensor rows =
      self._values().unsqueeze(1) * dense.index_select(0, i[0] * self.size(2) + i[2]);
  const at::Tensor result = at::zeros({self.size(0) * self.size(1), mat2.size(2)}, mat2.options());
  result.index_add_(0, i[0] * self.size(1) + i[1], rows);
  out.resize_({self.size(0), self.size(1), mat2.size(2)});
  return out.copy_(result.view(out.sizes()));
}

at::Tensor bmm(const at::Tensor& self, const at::Tensor& mat2) {
  at::Tensor out = at::empty({0}, mat2.options());
  return bmm_out(self, mat2, out);
}

// alpha * (mat1 @ mat2) where self has elements, plus beta * self.
at::Tensor sampled_addmm(const at::Tensor& self, const at::Tensor& mat1, const at::Tensor& mat2,
                         const at::Scalar& beta, const at::Scalar& alpha) {
  const bool plain = self.layout() == at::kSparseCsr && self.dim() == 2 && mat1.dim() == 2 &&
                     mat2.dim() == 2 && mat1.layout() == at::kStrided &&
                     mat2.layout() == at::kStrided;
  const bool fits = plain && mat1.size(1) == mat2.size(0) && self.size(0) == mat1.size(0) &&
                    self.size(1) == mat2.size(1) && mat1.scalar_type() == mat2.scalar_type() &&
                    self.scalar_type() == mat1.scalar_type();
  if (!fits)  // which also words what is wrong
    return fallback<at::_ops::sparse_sampled_addmm>("no plain matrices", self, mat1, mat2, beta,
                                                    alpha);
  const at::Tensor rows =
      at::repeat_interleave(self.crow_indices().diff(), std::optional<int64_t>(self._nnz()));
  const at::Tensor terms =
      mat1.index_select(0, rows).mul_(mat2.t().index_select(0, self.col_indices()));
  // Short rows are added up faster by a product with ones.
  const at::Tensor products = terms.mv(at::ones({terms.size(1)}, terms.options())).mul_(alpha);
  if (beta.toComplexDouble() != 0.0) products.add_(self.values(), beta);
  return at::_sparse_csr_tensor_unsafe(self.crow_indices().clone(), self.col_indices().clone(),
                                       products, self.sizes(), self.options());
}

at::Tensor& sampled_addmm_out(const at::Tensor& self, const at::Tensor& mat1,
                              const at::Tensor& mat2, const at::Scalar& beta,
                              const at::Scalar& alpha, at::Tensor& out) {
  write_back(sampled_addmm(self, mat1, mat2, beta, alpha), out);
  return out;
}

// Elements whose index along `dim` is asked for, once for each time that it is.
at::Tensor index_select(const at::Tensor& self, int64_t dim, const at::Tensor& index) {
  const int64_t d = dim < 0 ? dim + self.dim() : dim, sparse = self.sparse_dim();
  if (d < 0 || d >= self.dim() || index.dim() > 1)
    return fallback<at::_ops::index_select>("no such dimension", self, dim, index);
  std::vector<int64_t> sizes = self.sizes().vec();
  sizes[d] = index.numel();
  if (d >= sparse)
    return at::_sparse_coo_tensor_unsafe(self._indices().clone(),
                                         self._values().index_select(d - sparse + 1, index), sizes)
        ._coalesced_(self.is_coalesced());
  const at::Tensor wanted = index.reshape({-1}).to(at::kLong);
  const auto [along, order] = self._indices()[d].contiguous().sort(true, 0, false);
  const at::Tensor begin = at::searchsorted(along, wanted);
  const auto [which, place] = spread(begin, at::searchsorted(along, wanted, false, true) - begin);
  const at::Tensor element = order.index_select(0, place);
  const at::Tensor indices = self._indices().index_select(1, element);
  indices[d].copy_(which);
  return at::_sparse_coo_tensor_unsafe(indices, self._values().index_select(0, element), sizes);
}

// The elements of self where mask has some, too.
at::Tensor mask_projection(const at::Tensor& self, const at::Tensor& mask, bool accumulate) {
  const bool alike = self.is_sparse() && mask.is_sparse() && self.sizes().equals(mask.sizes()) &&
                     self.sparse_dim() == mask.sparse_dim();
  if (!alike || !(accumulate || self.is_coalesced()))
    return fallback<at::_ops::_sparse_mask_projection>("elements of one place, or other shapes",
                                                       self, mask, accumulate);
  const at::Tensor own = self.coalesce();
  const at::Tensor kept = common(own, mask.coalesce()).first;
  return at::_sparse_coo_tensor_unsafe(own._indices().index_select(1, kept),
                                       own._values().index_select(0, kept), own.sizes())
      ._coalesced_(true);
}

TORCH_LIBRARY_IMPL(aten, SparsePrivateUse1, m) {
  m.impl("_sparse_mask_projection", &mask_projection);
  m.impl("_sparse_sparse_matmul", &sparse_matmul);
  m.impl("bmm", &bmm);
  m.impl("bmm.out", &bmm_out);
  m.impl("index_select", &index_select);
}
TORCH_LIBRARY_IMPL(aten, SparseCsrPrivateUse1, m) {
  m.impl("sparse_sampled_addmm", &sampled_addmm);
  m.impl("sparse_sampled_addmm.out", &sampled_addmm_out);
}

}  // namespace
}  // namespace trn::ops
