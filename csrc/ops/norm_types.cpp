// See norm_types.h.
#include "ops/norm_types.h"

#include <ATen/TensorUtils.h>

namespace trn::ops {
namespace {

bool fits(const at::Tensor& input, const std::optional<at::Tensor>& parameter) {
  if (!parameter || !parameter->defined()) return true;
  const at::ScalarType type = parameter->scalar_type();
  return type == input.scalar_type() ||
         (type == at::kFloat && at::isReducedFloatingType(input.scalar_type()));
}

at::Tensor given(const std::optional<at::Tensor>& t) { return t ? *t : at::Tensor(); }

}  // namespace

void check_norm_types(const at::Tensor& input,
                      std::initializer_list<const std::optional<at::Tensor>*> parameters) {
  for (const std::optional<at::Tensor>* p : parameters)
    TORCH_CHECK(fits(input, *p), "expected scalar type ", input.scalar_type(), " but found ",
                (*p)->scalar_type());
}

void check_batch_norm_types(const at::Tensor& input, const std::optional<at::Tensor>& weight,
                            const std::optional<at::Tensor>& bias,
                            const std::optional<at::Tensor>& running_mean,
                            const std::optional<at::Tensor>& running_var) {
  const bool all_fit = fits(input, weight) && fits(input, bias) && fits(input, running_mean) &&
                       fits(input, running_var);
  if (all_fit) return;
  const at::Tensor w = given(weight), b = given(bias);
  if (input.dim() > 2 && w.defined() && b.defined()) {
    const at::TensorArg x(input, "input", 1), wa(w, "weight", 2), ba(b, "bias", 3);
    const at::Tensor m = given(running_mean), v = given(running_var);
    const at::TensorArg ma(m, "running_mean", 4), va(v, "running_var", 5);
    if (!at::isReducedFloatingType(input.scalar_type()))
      at::checkAllSameType("cudnn_batch_norm", {x, wa});
    at::checkAllSameType("cudnn_batch_norm", {wa, ba, ma, va});
  }
  check_norm_types(input, {&weight, &bias, &running_mean, &running_var});
}

}  // namespace trn::ops
