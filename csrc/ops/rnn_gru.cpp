// Whole GRU layers: one product for all steps' inputs; the steps are PyTorch's operators, whose
// derivatives it has.
#include <ATen/ops/_thnn_fused_gru_cell.h>
#include <ATen/ops/gru_native.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/stack.h>
#include <torch/library.h>

#include "ops/rnn_layer.h"

namespace trn::ops {
namespace {

// x [length, batch, features], state [batch, hidden]; the output and, in `state`, the last one.
at::Tensor gru_layer(const at::Tensor& x, const at::Tensor* weights, bool has_biases, bool reverse,
                     at::Tensor& state) {
  const std::vector<at::Tensor> gates = at::linear(x, weights[0]).unbind(0);
  const std::optional<at::Tensor> none;
  std::vector<at::Tensor> out(gates.size());
  for (size_t step = 0; step < gates.size(); ++step) {
    const size_t t = reverse ? gates.size() - 1 - step : step;
    state = std::get<0>(at::_thnn_fused_gru_cell(gates[t], at::linear(state, weights[1]), state,
                                                 has_biases ? weights[2] : none,
                                                 has_biases ? weights[3] : none));
    out[t] = state;
  }
  return at::stack(out, 0);
}

}  // namespace

std::tuple<at::Tensor, at::Tensor> TRN_OP(gru_input)(const at::Tensor& input, const at::Tensor& hx,
                                                     at::TensorList params, bool has_biases,
                                                     int64_t num_layers, double dropout, bool train,
                                                     bool bidirectional, bool batch_first) {
  const Layers layers{input,      hx,    params,        3,          num_layers, dropout,
                      has_biases, train, bidirectional, batch_first};
  if (!layers.possible())
    return at::native::gru(input, hx, params, has_biases, num_layers, dropout, train, bidirectional,
                           batch_first);
  std::vector<at::Tensor> states = hx.unbind(0);
  const at::Tensor y = layers.run([&](const at::Tensor& x, int64_t k, bool reverse) {
    return gru_layer(x, layers.weights(k), has_biases, reverse, states[k]);
  });
  return {y, at::stack(states, 0)};
}

TORCH_LIBRARY_IMPL(aten, AutogradPrivateUse1, m) { m.impl("gru.input", &gru_input); }

}  // namespace trn::ops
