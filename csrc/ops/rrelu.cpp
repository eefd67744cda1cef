// Leaky rectification with a random slope.
#include <ATen/ops/empty_like.h>
#include <ATen/ops/leaky_relu.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/where.h>

#include "ops/op.h"

namespace trn::ops {

at::Tensor& TRN_OP(rrelu_with_noise_out)(const at::Tensor& self, at::Tensor& noise,
                                         const at::Scalar& lower, const at::Scalar& upper,
                                         bool training, std::optional<at::Generator> generator,
                                         at::Tensor& out) {
  TORCH_CHECK(self.sizes() == noise.sizes(),
              "noise tensor shape must match self tensor shape. Got self.shape = ", self.sizes(),
              " noise.shape = ", noise.sizes());
  if (!training) {
    const double slope = (lower.toDouble() + upper.toDouble()) / 2;
    return at::leaky_relu_out(out, self, slope);
  }
  noise.uniform_(lower.toDouble(), upper.toDouble(), generator);
  noise.copy_(at::where(self.le(0), noise, 1));
  return at::mul_out(out, self, noise);
}
at::Tensor TRN_OP(rrelu_with_noise)(const at::Tensor& self, at::Tensor& noise,
                                    const at::Scalar& lower, const at::Scalar& upper, bool training,
                                    std::optional<at::Generator> generator) {
  at::Tensor out = at::empty_like(self, at::MemoryFormat::Contiguous);
  return ops::rrelu_with_noise_out(self, noise, lower, upper, training, generator, out);
}
at::Tensor& TRN_OP(rrelu_with_noise_)(at::Tensor& self, at::Tensor& noise, const at::Scalar& lower,
                                      const at::Scalar& upper, bool training,
                                      std::optional<at::Generator> generator) {
  return ops::rrelu_with_noise_out(self, noise, lower, upper, training, generator, self);
}

}  // namespace trn::ops
