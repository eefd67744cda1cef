// Gradients of embeddings and tables held to a norm. The lookup itself is index_select.
#include <ATen/TensorOperators.h>
#include <ATen/TensorUtils.h>
#include <ATen/ops/embedding_native.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/view_as_complex.h>
#include <ATen/ops/view_as_real.h>
#include <ATen/ops/zeros.h>

#include "ops/elementwise.h"
#include "ops/op.h"

namespace trn::ops {

// libtorch's own: as one of ours it names types as others of the device do.
at::Tensor TRN_OP_ACROSS(embedding)(const at::Tensor& weight, const at::Tensor& indices,
                                    int64_t padding_idx, bool scale_grad_by_freq, bool sparse) {
  return at::native::embedding_symint(weight, indices, padding_idx, scale_grad_by_freq, sparse);
}

// Rows are added in the order of the indices, in float32 for halves. Each row of the table is
// written once, and nothing has to be zero before.
at::Tensor TRN_OP(embedding_dense_backward)(const at::Tensor& grad_output,
                                            const at::Tensor& indices, int64_t num_weights,
                                            int64_t padding_idx, bool scale_grad_by_freq) {
  static const Family uses("embedding_uses"), gradient("embedding_gradient");
  constexpr int64_t kStrip = 1024;
  TORCH_CHECK(indices.scalar_type() == at::kLong || indices.scalar_type() == at::kInt,
              "Expected tensor for argument #2 'indices' to have one of the following scalar "
              "types: Long, Int; but got ",
              indices.toString(), " instead");
  if (grad_output.is_complex()) {
    const at::Tensor parts =
        ops::embedding_dense_backward(at::view_as_real(grad_output).flatten(-2), indices,
                                      num_weights, padding_idx, scale_grad_by_freq);
    return at::view_as_complex(parts.unflatten(-1, {-1, 2}));
  }
  const int64_t width = grad_output.size(-1);
  const at::Tensor at = indices.reshape({-1}).contiguous();
  const at::Tensor grad = grad_output.reshape({-1, width}).contiguous();
  const at::Tensor weight = at::empty({num_weights, width}, grad.options());
  if (weight.numel() == 0) return weight;
  const at::TensorOptions places = at.options().dtype(at::kLong);
  const at::Tensor ends = at::empty({num_weights + 1}, places);
  const at::Tensor order = at::empty({at.numel()}, places);
  Launch(uses, dtype_of(at)).out(ends).out(order).in(at).may_fault().run(1, 1);
  const int64_t strip = std::min(width, kStrip), strips = (width + strip - 1) / strip;
  const int64_t used = std::max<int64_t>(1, at.numel() / num_weights);
  Launch(gradient, compute_type(grad.scalar_type()))
      .out(weight)
      .in(ends)
      .in(order)
      .in(grad)
      .ints({padding_idx, scale_grad_by_freq, strip})
      .run(num_weights * strips, grain_for(strip * used));
  return weight;
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
      .out(self)
      .in(used)
      .reals({max_norm, norm_type})
      .run(self.size(0), grain_for(self.size(1) * 2));
  return self;
}

}  // namespace trn::ops
