// nn.utils.weight_norm: w = g v / |v|, norms taken over every dimension but the first or the last.
#include <ATen/TensorOperators.h>
#include <ATen/ops/addcmul.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/zeros_like.h>

#include "ops/op.h"
#include "ops/reduce.h"

namespace trn::ops {
namespace {

using Pair = std::tuple<at::Tensor, at::Tensor>;

// Over no dimension at all a norm is of each number, where PyTorch's reductions take all of them.
at::Tensor norms_of(const at::Tensor& v, int64_t dim) {
  const at::DimVector dims = all_but(v, dim);
  if (dims.empty()) return v.abs().to(stat_type(v));
  return at::linalg_vector_norm(v, 2, dims, true, stat_type(v));
}

}  // namespace

Pair TRN_OP(_weight_norm_interface)(const at::Tensor& v, const at::Tensor& g, int64_t dim) {
  const at::ScalarType type = stat_type(g);
  if (v.numel() == 0)
    return {at::empty_like(v, at::MemoryFormat::Contiguous), at::zeros_like(g.to(type))};
  const at::Tensor norm = norms_of(v, dim).to(type).view(g.sizes());
  return {(v * (g.to(type) / norm)).to(v.scalar_type()).contiguous(), norm};
}

Pair TRN_OP(_weight_norm_interface_backward)(const at::Tensor& grad_w, const at::Tensor& saved_v,
                                             const at::Tensor& saved_g,
                                             const at::Tensor& saved_norms, int64_t dim) {
  TORCH_CHECK(saved_v.is_contiguous(), "saved_v must be contiguous");
  TORCH_CHECK(saved_g.is_contiguous(), "saved_g must be contiguous");
  TORCH_CHECK(saved_norms.is_contiguous(), "saved_norms must be contiguous");
  if (saved_v.numel() == 0) return {at::empty_like(saved_v), at::zeros_like(saved_g)};
  const at::ScalarType type = stat_type(saved_v);
  const at::Tensor grad = grad_w.to(type), v = saved_v.to(type), norms = saved_norms.to(type);
  const at::Tensor along = sum_all_but(grad * v, dim).view(norms.sizes()) / norms;
  const at::Tensor scale = saved_g.to(type) / norms;
  const at::Tensor grad_v = at::addcmul(grad * scale, v, scale * along / norms, -1);
  return {grad_v.to(saved_v.scalar_type()), along.to(saved_g.scalar_type())};
}

}  // namespace trn::ops
