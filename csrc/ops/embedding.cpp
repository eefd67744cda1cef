// Gradients of embeddings and tables held to a norm. The lookup itself is index_select.
#include <ATen/TensorOperators.h>
#include <ATen/TensorUtils.h>
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

// Only rows that an index names are touched, each once.
at::Tensor& TRN_OP(embedding_renorm_)(at::Tensor& self, const at::Tensor& indices, double max_norm,
                                      double norm_type) {
  static const Family embedding_renorm("embedding_renorm");
  const at::TensorArg self_arg{self, "self", 1}, indices_arg{indices, "indices", 2};
  at::checkDim("embedding_renorm_", self_arg, 2);
  at::checkScalarTypes("embedding_renorm_", indices_arg, {at::kLong, at::kInt});
  if (indices.numel() == 0) return self;
  const at::Tensor used = at::zeros({self.size(0)}, self.options().dtype(at::kBool));
  used.index_fill_(0, indices.reshape({-1}).to(at::kLong), true);
  Launch(embedding_renorm, compute_type(self.scalar_type()))
      .out(self).in(used).reals({max_norm, norm_type})
      .run(self.size(0), grain_for(self.size(1) * 2));
  return self;
}

}  // namespace trn::ops
