// Whole GRU layers: one product for all steps' inputs, one for each weight's gradient.
//
// A layer's derivative is here; the second one is that of PyTorch's operators for a step.
#include <ATen/ops/_thnn_fused_gru_cell.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/gru_native.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/sum.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "ops/convolution_direct.h"
#include "ops/elementwise.h"
#include "ops/matmul.h"
#include "ops/rnn_layer.h"

namespace trn::ops {
namespace {

using torch::autograd::AutogradContext, torch::autograd::variable_list;

const Family gru_cell("gru_cell"), gru_cell_backward("gru_cell_backward");

// input, state, weights [3 hidden, ..] of both, biases or undefined; gates are r, z, n.
enum Argument : size_t { kInput, kState, kWeight, kHiddenWeight, kBias, kHiddenBias, kArguments };

at::Tensor rows_of(const at::Tensor& t) { return t.reshape({-1, t.size(-1)}); }
at::Tensor dense(const at::Tensor& t) { return t.defined() ? t.contiguous() : t; }
std::optional<at::Tensor> maybe(const at::Tensor& t) {
  return t.defined() ? std::optional(t) : std::nullopt;
}

// The output of a layer, by PyTorch's operators.
at::Tensor by_steps(const variable_list& a, bool reverse) {
  const std::vector<at::Tensor> gates = at::linear(a[kInput], a[kWeight]).unbind(0);
  std::vector<at::Tensor> out(gates.size());
  at::Tensor state = a[kState];
  for (size_t step = 0; step < gates.size(); ++step) {
    const size_t t = reverse ? gates.size() - 1 - step : step;
    state = std::get<0>(at::_thnn_fused_gru_cell(gates[t], at::linear(state, a[kHiddenWeight]),
                                                 state, maybe(a[kBias]), maybe(a[kHiddenBias])));
    out[t] = state;
  }
  return at::stack(out, 0);
}

// The same; what the derivative needs of each step is kept in `workspace` if that is defined.
at::Tensor run_layer(const variable_list& a, bool reverse, const at::Tensor& workspace) {
  const at::Tensor& x = a[kInput];
  const int64_t length = x.size(0), batch = x.size(1), hidden = a[kState].size(1);
  const at::Tensor gates = at::empty({length, batch, 3 * hidden}, x.options());
  matmul_into(rows_of(gates), rows_of(x), a[kWeight].t());
  const at::Tensor out = at::empty({length, batch, hidden}, x.options());
  const at::Tensor from_hidden = empty_apart({batch, 3 * hidden}, x.options());
  const Factor recurrent(a[kHiddenWeight].t(), batch, length);
  const at::Tensor bias = dense(a[kBias]), hidden_bias = dense(a[kHiddenBias]);
  at::Tensor state = a[kState].contiguous();
  for (int64_t step = 0; step < length; ++step) {
    const int64_t t = reverse ? length - 1 - step : step;
    recurrent.product(from_hidden, state);
    Launch(gru_cell, compute_type(x.scalar_type()))
        .out(out[t])
        .out(workspace.defined() ? workspace[t] : workspace)
        .in(gates[t])
        .in(from_hidden)
        .in(state)
        .in(bias)
        .in(hidden_bias)
        .run(batch, grain_for(hidden * 50));
    state = out[t];
  }
  return out;
}

// Gradients of all arguments of which `wanted` says so.
variable_list gradients(const variable_list& a, bool reverse, const at::Tensor& out,
                        const at::Tensor& workspace, const at::Tensor& grad,
                        const std::function<bool(size_t)>& wanted) {
  const at::Tensor& x = a[kInput];
  const int64_t length = x.size(0), batch = x.size(1), hidden = out.size(2);
  const at::Tensor gates = empty_apart({length, batch, 3 * hidden}, x.options());
  const at::Tensor hidden_gates = empty_apart(gates.sizes(), x.options());
  const at::Tensor state = at::empty({batch, hidden}, x.options());
  const at::Tensor before = at::empty(state.sizes(), x.options()), none;
  const Factor recurrent(a[kHiddenWeight], batch, length);
  for (int64_t step = length - 1; step >= 0; --step) {
    const int64_t t = reverse ? length - 1 - step : step;
    const bool last = step == length - 1;
    Launch(gru_cell_backward, compute_type(x.scalar_type()))
        .out(gates[t])
        .out(hidden_gates[t])
        .out(state)
        .in(grad[t])
        .in(workspace[t])
        .in(last ? none : before)
        .in(last ? none : state)
        .run(batch, grain_for(hidden * 30));
    recurrent.product(before, hidden_gates[t]);
  }
  variable_list all(kArguments);
  const auto made = [&](Argument i) { return all[i] = at::empty(a[i].sizes(), a[i].options()); };
  if (wanted(kInput)) matmul_into(rows_of(made(kInput)), rows_of(gates), a[kWeight]);
  if (wanted(kState)) all[kState] = before + state;
  if (wanted(kWeight)) matmul_into(made(kWeight), rows_of(gates).t(), rows_of(x));
  if (wanted(kHiddenWeight)) {
    // The state before a step is the output of the step before, and the given one before the first.
    const int64_t n = length - 1, first = reverse ? n : 0;
    const at::Tensor to = made(kHiddenWeight);
    matmul_into(to, rows_of(hidden_gates.narrow(0, reverse ? 0 : 1, n)).t(),
                rows_of(out.narrow(0, reverse ? 1 : 0, n)));
    matmul_into(to, hidden_gates[first].t(), a[kState], to, 1, 1);
  }
  if (a[kBias].defined() && wanted(kBias)) all[kBias] = at::sum(rows_of(gates), 0);
  if (a[kHiddenBias].defined() && wanted(kHiddenBias))
    all[kHiddenBias] = at::sum(rows_of(hidden_gates), 0);
  return all;
}

struct GruLayer : torch::autograd::Function<GruLayer> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& input, const at::Tensor& state,
                            const at::Tensor& weight, const at::Tensor& hidden_weight,
                            const std::optional<at::Tensor>& bias,
                            const std::optional<at::Tensor>& hidden_bias, bool reverse) {
    const at::Tensor none;
    const variable_list a{
        input, state, weight, hidden_weight, bias.value_or(none), hidden_bias.value_or(none)};
    const at::Tensor workspace =
        at::empty({input.size(0), input.size(1), 5 * state.size(1)}, input.options());
    const at::Tensor out = run_layer(a, reverse, workspace);
    variable_list kept = a;
    kept.push_back(out);
    kept.push_back(workspace);
    ctx->save_for_backward(kept);
    ctx->saved_data["reverse"] = reverse;
    return out;
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    variable_list a = ctx->get_saved_variables();
    const at::Tensor workspace = a.back(), out = a[kArguments];
    a.resize(kArguments);
    const bool reverse = ctx->saved_data["reverse"].toBool();
    const auto wanted = [&](size_t i) { return ctx->needs_input_grad(i); };
    variable_list all = at::GradMode::is_enabled()
                            ? differentiable(a, reverse, grads[0], wanted)
                            : gradients(a, reverse, out, workspace, grads[0].contiguous(), wanted);
    all.emplace_back();  // of `reverse`
    return all;
  }
  // Gradients that can be differentiated.
  static variable_list differentiable(const variable_list& a, bool reverse, const at::Tensor& grad,
                                      const std::function<bool(size_t)>& wanted) {
    variable_list inputs, all(kArguments);
    for (size_t i = 0; i < kArguments; ++i)
      if (a[i].defined() && wanted(i)) inputs.push_back(a[i]);
    const variable_list got =
        torch::autograd::grad({by_steps(a, reverse)}, inputs, {grad}, true, true);
    for (size_t i = 0, k = 0; i < kArguments; ++i)
      if (a[i].defined() && wanted(i)) all[i] = got[k++];
    return all;
  }
};

at::Tensor layer_of(const variable_list& a, bool reverse) {
  const auto any = [&](auto f) { return std::any_of(a.begin(), a.end(), f); };
  if (any([](const at::Tensor& t) { return t.defined() && t._fw_grad(0).defined(); }))
    return by_steps(a, reverse);
  const bool differentiated = at::GradMode::is_enabled() && any([](const at::Tensor& t) {
                                return t.defined() && t.requires_grad();
                              });
  if (!differentiated) return run_layer(a, reverse, {});
  return GruLayer::apply(a[kInput], a[kState], a[kWeight], a[kHiddenWeight], maybe(a[kBias]),
                         maybe(a[kHiddenBias]), reverse);
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
    const at::Tensor* w = layers.weights(k);
    const at::Tensor none,
        out =
            layer_of({x, states[k], w[0], w[1], has_biases ? w[2] : none, has_biases ? w[3] : none},
                     reverse);
    states[k] = out.select(0, reverse ? 0 : out.size(0) - 1);
    return out;
  });
  return {y, at::stack(states, 0)};
}

TORCH_LIBRARY_IMPL(aten, AutogradPrivateUse1, m) { m.impl("gru.input", &gru_input); }

}  // namespace trn::ops
