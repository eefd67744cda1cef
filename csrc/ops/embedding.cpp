// Gradients of embeddings. The lookup itself is index_select.
#include <ATen/TensorOperators.h>
#include <ATen/ops/bincount.h>
#include <ATen/ops/zeros.h>

#include "ops/elementwise.h"
#include "ops/op.h"

namespace trn::ops {

// Rows are added in the order of the indices, in float32 for halves.
at::Tensor TRN_OP(embedding_dense_backward)(const at::Tensor& grad_output,
                                            const at::Tensor& indices, int64_t num_weights,
                                            int64_t padding_idx, bool scale_grad_by_freq) {
  TORCH_CHECK(indices.scalar_type() == at::kLong || indices.scalar_type() == at::kInt,
              "Expected tensor for argument #2 'indices' to have one of the following scalar "
              "types: Long, Int; but got ", indices.toString(), " instead");
  const int64_t width = grad_output.size(-1);
  const at::Tensor at = indices.reshape({-1});
  const at::ScalarType type = compute_type(grad_output.scalar_type()) == DType::f64 ? at::kDouble
                              : grad_output.is_complex() ? grad_output.scalar_type() : at::kFloat;
  at::Tensor grad = grad_output.reshape({-1, width}).to(type);
  if (scale_grad_by_freq && at.numel()) {
    const at::Tensor counts = at::bincount(at.to(at::kLong), {}, num_weights);
    grad = grad / counts.index_select(0, at).unsqueeze(1);
  }
  at::Tensor weight = at::zeros({num_weights, width}, grad.options());
  weight.index_add_(0, at, grad);
  if (padding_idx >= 0 && padding_idx < num_weights) weight.select(0, padding_idx).zero_();
  return weight.to(grad_output.scalar_type());
}

}  // namespace trn::ops
