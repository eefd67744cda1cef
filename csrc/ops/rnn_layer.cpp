// When recurrent layers may run layer by layer.
#include "ops/rnn_layer.h"

#include <ATen/TensorSubclassLikeUtils.h>

namespace trn::ops {
namespace {

bool same_shapes(const Layers& l) {
  const int64_t hidden = l.hx[0].size(2);
  for (size_t i = 0; i < l.params.size(); ++i) {
    const int64_t k = static_cast<int64_t>(i);
    std::vector<int64_t> shape{l.gates * hidden};
    if (k % l.per_layer() == 0)
      shape.push_back(k / l.per_layer() < l.directions() ? l.input.size(2)
                                                         : l.directions() * hidden);
    if (k % l.per_layer() == 1) shape.push_back(hidden);
    if (l.params[i].sizes() != shape) return false;
  }
  return true;
}

}  // namespace

bool Layers::possible() const {
  if (hx.empty() || input.dim() != 3 || !at::isFloatingType(input.scalar_type())) return false;
  const auto alike = [&](const at::Tensor& t) {
    return t.defined() && t.device() == input.device() && t.scalar_type() == input.scalar_type() &&
           t.layout() == at::kStrided && !at::isTensorSubclassLike(t) &&
           !t.unsafeGetTensorImpl()->has_symbolic_sizes_strides();
  };
  if (!alike(input) || !std::all_of(hx.begin(), hx.end(), alike) ||
      !std::all_of(params.begin(), params.end(), alike) || input.numel() == 0)
    return false;
  const auto is_state = [&](const at::Tensor& state) {
    return state.dim() == 3 && state.sizes() == hx[0].sizes() &&
           state.size(0) == num_layers * directions() && state.size(2) != 0 &&
           state.size(1) == input.size(batch_first ? 0 : 1);
  };
  return num_layers >= 1 && std::all_of(hx.begin(), hx.end(), is_state) &&
         static_cast<int64_t>(params.size()) == num_layers * directions() * per_layer() &&
         same_shapes(*this);
}

}  // namespace trn::ops
