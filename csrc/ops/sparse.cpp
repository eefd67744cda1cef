// What sparse tensors need of the device itself; the rest is PyTorch's own (codegen/layouts.py).
#include "ops/sparse.h"

#include <ATen/ExpandUtils.h>
#include <ATen/TensorOperators.h>
#include <ATen/native/DispatchStub.h>
#include <ATen/ops/_coalesce_ops.h>
#include <ATen/ops/_sparse_coo_tensor_unsafe.h>
#include <ATen/ops/add.h>
#include <ATen/ops/add_ops.h>
#include <ATen/ops/addmm_ops.h>
#include <ATen/ops/addmv_ops.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/index.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/mul_ops.h>
#include <ATen/ops/resize_as_sparse.h>
#include <ATen/ops/result_type.h>
#include <ATen/ops/searchsorted.h>
#include <ATen/ops/sparse_mask_ops.h>
#include <ATen/ops/unique_consecutive.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include "ops/op.h"
#include "sparse.structured.h"

namespace trn::ops {
namespace {

// indices [dimensions, elements] -> the place of each element in a dense tensor of `sizes`.
at::Tensor flatten_indices(const at::Tensor& indices, at::IntArrayRef sizes) {
  at::Tensor place = at::zeros({indices.size(1)}, indices.options().dtype(at::kLong));
  int64_t stride = 1;
  for (auto d = static_cast<int64_t>(sizes.size()) - 1; d >= 0; stride *= sizes[d--])
    place.add_(indices[d], stride);
  return place;
}

}  // namespace

at::Tensor write_back(const at::Tensor& self, const at::Tensor& dst) {
  const at::Tensor here = self.to(dst.device());
  at::resize_as_sparse_(dst, here);
  at::Tensor to = dst;
  to.copy_(here);
  return dst;
}

at::Tensor places_of(const at::Tensor& sparse) {
  return flatten_indices(sparse._indices(), sparse.sizes().slice(0, sparse.sparse_dim()));
}

at::Tensor values_at(const at::Tensor& self, const at::Tensor& places) {
  const at::Tensor values = self._values();
  std::vector<int64_t> shape = values.sizes().vec();
  shape[0] = places.size(0);
  if (self._nnz() == 0) return at::zeros(shape, values.options());
  const at::Tensor own = places_of(self);
  const at::Tensor at = at::searchsorted(own, places).clamp_max(own.size(0) - 1);
  std::vector<int64_t> column(values.dim(), 1);
  column[0] = places.size(0);
  const at::Tensor absent = own.index_select(0, at).ne(places).view(column);
  return values.index_select(0, at).masked_fill(absent, 0);
}

namespace {

// out = beta * self + alpha * (sparse @ dense): a row of `dense` for every element, added in order.
at::Tensor& addmm_out(const at::Tensor& self, const at::Tensor& sparse, const at::Tensor& dense,
                      const at::Scalar& beta, const at::Scalar& alpha, at::Tensor& out) {
  TORCH_CHECK(sparse.is_sparse() && sparse.sparse_dim() == 2 && sparse.dense_dim() == 0,
              "addmm: Expected 'mat1' to be a sparse matrix of two dimensions");
  TORCH_CHECK(dense.layout() == at::kStrided && dense.dim() == 2,
              "addmm: Expected 'mat2' to be a dense matrix, but got ", dense.dim(), " dimensions");
  TORCH_CHECK(sparse.size(1) == dense.size(0), "addmm: Argument #3: Expected dim 0 size ",
              sparse.size(1), ", got ", dense.size(0));
  for (const at::Tensor& t : {dense, self})
    TORCH_CHECK(t.scalar_type() == sparse.scalar_type(), "expected scalar type ",
                sparse.scalar_type(), " but found ", t.scalar_type());
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

at::Tensor product_and(const at::Tensor& self, const at::Tensor& sparse, const at::Tensor& dense,
                       const at::Scalar& beta, const at::Scalar& alpha) {
  at::Tensor out = at::empty({0}, dense.options());
  return addmm_out(self, sparse, dense, beta, alpha, out);
}

at::Tensor& addmm_(at::Tensor& self, const at::Tensor& sparse, const at::Tensor& dense,
                   const at::Scalar& beta, const at::Scalar& alpha) {
  return addmm_out(self, sparse, dense, beta, alpha, self);
}

// The inverse: places [elements] -> indices [dimensions, elements].
at::Tensor unflatten_indices(at::Tensor place, at::IntArrayRef sizes) {
  const at::Tensor indices =
      at::empty({static_cast<int64_t>(sizes.size()), place.size(0)}, place.options());
  for (auto d = static_cast<int64_t>(sizes.size()) - 1; d >= 0; --d) {
    indices[d].copy_(place.remainder(sizes[d]));
    place = place.div(sizes[d], "floor");
  }
  return indices;
}

// Elements in order, those of one place added up. Waits for their number, as CUDA's does.
at::Tensor coalesce(const at::Tensor& self) {
  if (self.scalar_type() == at::kBool)
    return fallback<at::_ops::_coalesce>("truth values are not added", self);
  const at::IntArrayRef sizes = self.sizes().slice(0, self.sparse_dim());
  const at::Tensor values = self._values();
  const auto [place, order] = places_of(self).sort(true, 0, false);
  const auto [places, number, count] = at::unique_consecutive(place, true);
  std::vector<int64_t> shape = values.sizes().vec();
  shape[0] = places.size(0);
  const at::Tensor sums = at::zeros(shape, values.options());
  sums.index_add_(0, number, values.index_select(0, order));
  return at::_sparse_coo_tensor_unsafe(unflatten_indices(places, sizes), sums, self.sizes())
      ._coalesced_(true);
}

// What self has where mask has elements.
at::Tensor sparse_mask(const at::Tensor& self, const at::Tensor& mask) {
  if (self.is_sparse() && mask.is_sparse() && mask.sparse_dim() &&
      self.sparse_dim() == mask.sparse_dim() && self.sizes().equals(mask.sizes())) {
    return at::_sparse_coo_tensor_unsafe(mask._indices().clone(),
                                         values_at(self.coalesce(), places_of(mask)), mask.sizes())
        ._coalesced_(mask.is_coalesced());
  }
  if (self.layout() != at::kStrided || !mask.is_sparse() || !mask.sparse_dim())
    return fallback<at::_ops::sparse_mask>("elements of other layouts", self, mask);
  TORCH_CHECK(self.sizes().equals(mask.sizes()),
              "sparse_mask(): operands have incompatible sizes; "
              "self has size ",
              self.sizes(), " but mask has size ", mask.sizes());
  const at::Tensor indices = mask._indices();
  const int64_t dims = mask.sparse_dim();
  const at::Tensor values = self.flatten(0, dims - 1).index_select(0, places_of(mask));
  return at::_sparse_coo_tensor_unsafe(indices.clone(), values, mask.sizes())
      ._coalesced_(mask.is_coalesced());
}

// self + alpha * other, of which at least one is sparse.
at::Tensor& add_out(const at::Tensor& self, const at::Tensor& other, const at::Scalar& alpha,
                    at::Tensor& out) {
  if (!self.is_sparse() && other.is_sparse() && !out.is_sparse() &&
      self.sizes().equals(other.sizes())) {
    const int64_t dims = other.sparse_dim();
    const at::Tensor place = places_of(other);
    const auto type = at::result_type(self, other);
    const at::Tensor sum = self.to(type, false, true, at::MemoryFormat::Contiguous);
    if (dims) sum.flatten(0, dims - 1).index_add_(0, place, other._values().to(type), alpha);
    else sum.add_(other._values().sum(0), alpha);
    out.resize_(sum.sizes());
    return out.copy_(sum);
  }
  if (self.is_sparse() && other.is_sparse() && self.sizes().equals(other.sizes()) &&
      self.sparse_dim() == other.sparse_dim()) {
    // As CUDA's: elements one after the other, added up by who coalesces.
    const auto type = at::result_type(self, other);
    const at::Tensor more = other._values().to(type);
    const at::Tensor values =
        at::cat({self._values().to(type), alpha.equal(1) ? more : more * alpha}, 0);
    write_back(at::_sparse_coo_tensor_unsafe(at::cat({self._indices(), other._indices()}, 1),
                                             values.to(out.scalar_type()), self.sizes()),
               out);
    return out;
  }
  fallback<at::_ops::add_out>("sparse tensors of other shapes", self, other, alpha, out);
  return out;
}

// Of a dense tensor where a sparse one has elements, without making what it is expanded from.
at::Tensor elements_of(const at::Tensor& dense, const at::Tensor& sparse) {
  c10::List<std::optional<at::Tensor>> at;
  for (const at::Tensor& along : sparse._indices().unbind(0)) at.push_back(along);
  return at::index(dense, at);
}

// A sparse tensor times a number, a dense one that has or reaches its shape, or a sparse one.
at::Tensor& mul_out(const at::Tensor& self, const at::Tensor& other, at::Tensor& out) {
  const at::Tensor &sparse = self.is_sparse() ? self : other, &by = self.is_sparse() ? other : self;
  const int64_t dims = sparse.is_sparse() ? sparse.sparse_dim() : 0;
  const auto type = at::result_type(self, other);
  const bool both = by.is_sparse() && by.sparse_dim() == dims;
  const bool fits =
      both ? by.sizes().equals(sparse.sizes())
           : by.layout() == at::kStrided && at::is_expandable_to(by.sizes(), sparse.sizes());
  if (!dims || !out.is_sparse() || !fits) {
    fallback<at::_ops::mul_out>("sparse tensors of other shapes", self, other, out);
    return out;
  }
  TORCH_CHECK(c10::canCast(type, out.scalar_type()), "result type ", type,
              " can't be cast to the desired output type ", out.scalar_type());
  if (both) {
    write_back(intersection(self.coalesce(), other.coalesce(), type).to(out.scalar_type()), out);
    out._coalesced_(true);
    return out;
  }
  const at::Tensor factor = by.dim() ? elements_of(by.expand(sparse.sizes()), sparse) : by;
  const at::Tensor values = (sparse._values().to(type) * factor).to(out.scalar_type());
  const bool in_order = sparse.is_coalesced();
  write_back(at::_sparse_coo_tensor_unsafe(sparse._indices().clone(), values, sparse.sizes())
                 ._coalesced_(in_order),
             out);
  out._coalesced_(in_order);
  return out;
}

TORCH_LIBRARY_IMPL(aten, SparsePrivateUse1, m) {
  m.impl("_copy_from_and_resize", &write_back);
  m.impl("_coalesce", &coalesce);
  m.impl("add.out", &add_out);
  m.impl("mul.out", &mul_out);
  m.impl("sparse_mask", &sparse_mask);
  m.impl("addmm", &product_and);
  m.impl("addmm_", &addmm_);
  m.impl("addmm.out", &addmm_out);
}
}  // namespace

// self: sorted rows [elements] of a matrix of `size` rows -> where each begins [size + 1].
TRN_IMPL_FUNC(_convert_indices_from_coo_to_csr_out)
(const at::Tensor& self, int64_t size, bool out_int32, const at::Tensor& out) {
  out.copy_(at::searchsorted(self, at::arange(size + 1, self.options()), out_int32));
}

// crow [..., rows + 1] and col [..., elements] -> [batch dimensions + 2, elements of all batches].
TRN_IMPL_FUNC(_convert_indices_from_csr_to_coo_out)
(const at::Tensor& crow_indices, const at::Tensor& col_indices, bool out_int32, bool transpose,
 const at::Tensor& out) {
  if (out.numel() == 0) return;
  const int64_t last = out.size(0) - 1;
  const at::Tensor place =
      at::arange(col_indices.size(-1), crow_indices.options()).expand(col_indices.sizes());
  const at::Tensor row = at::searchsorted(crow_indices, place.contiguous(), out_int32, true) - 1;
  out[transpose ? last : last - 1].copy_(row.flatten());
  out[transpose ? last - 1 : last].copy_(col_indices.flatten());
  for (int64_t d = 0; d < last - 1; ++d) {
    std::vector<int64_t> shape(col_indices.dim(), 1);
    shape[d] = -1;
    const at::Tensor number = at::arange(col_indices.size(d), out.options()).view(shape);
    out[d].copy_(number.expand(col_indices.sizes()).flatten());
  }
}

}  // namespace trn::ops

// PyTorch does not install the header that declares this one.
namespace at::native {
using flatten_indices_fn = Tensor (*)(const Tensor&, IntArrayRef);
DECLARE_DISPATCH(flatten_indices_fn, flatten_indices_stub)
REGISTER_PRIVATEUSE1_DISPATCH(flatten_indices_stub, &trn::ops::flatten_indices)
}  // namespace at::native
