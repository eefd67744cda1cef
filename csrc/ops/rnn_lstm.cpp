// Whole LSTM layers: one product for all steps' inputs, one for each weight's gradient.
//
// `lstm.input` is PyTorch's own composite of cells unless it may be layers here. A layer in one
// direction is the operator mkldnn_rnn_layer: PyTorch has the derivative for it, once and twice
// (then by differentiable operators, whatever the device).
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/lstm_native.h>
#include <ATen/ops/mkldnn_rnn_layer.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/zeros_like.h>
#include <torch/library.h>

#include "ops/convolution_direct.h"
#include "ops/elementwise.h"
#include "ops/matmul.h"
#include "ops/rnn_layer.h"

namespace trn::ops {
namespace {

using Three = std::tuple<at::Tensor, at::Tensor, at::Tensor>;
using Four = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor>;
using Seven =
    std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor>;

constexpr int64_t kLstm = 2;  // `mode` of mkldnn_rnn_layer

const Family lstm_cell("lstm_cell"), lstm_cell_backward("lstm_cell_backward");

// c = a b (+ add) for matrices.
void product(const at::Tensor& c, const at::Tensor& a, const at::Tensor& b,
             const at::Tensor& add = {}) {
  matmul_into(c, a, b, add, 1, add.defined() ? 1 : 0);
}

// What the steps of a layer have in common; step s works on time at(s).
struct Layer {
  int64_t length, batch, hidden;
  bool reverse;
  at::Tensor kept;  // activated gates of all steps, then cell states

  Layer(const at::Tensor& input, int64_t hidden_size, bool backwards)
      : length(input.size(0)), batch(input.size(1)), hidden(hidden_size), reverse(backwards) {}
  int64_t at(int64_t step) const { return reverse ? length - 1 - step : step; }
  at::Tensor gates() const {
    return kept.narrow(0, 0, length * batch * 4 * hidden).view({length, batch, 4 * hidden});
  }
  at::Tensor cells() const {
    const int64_t n = length * batch * hidden;
    return kept.narrow(0, 4 * n, n).view({length, batch, hidden});
  }
};

at::Tensor rows_of(const at::Tensor& t) { return t.reshape({-1, t.size(-1)}); }

}  // namespace

Three TRN_OP(lstm_input)(const at::Tensor& input, at::TensorList hx, at::TensorList params,
                         bool has_biases, int64_t num_layers, double dropout, bool train,
                         bool bidirectional, bool batch_first) {
  const Layers layers{input,      hx,    params,        4,          num_layers, dropout,
                      has_biases, train, bidirectional, batch_first};
  if (hx.size() != 2 || !layers.possible())
    return at::native::lstm(input, hx, params, has_biases, num_layers, dropout, train,
                            bidirectional, batch_first);
  const std::vector<at::Tensor> h = hx[0].unbind(0), c = hx[1].unbind(0);
  const at::Tensor none = has_biases ? at::Tensor() : at::empty({0}, input.options());
  std::vector<at::Tensor> hy, cy;
  const at::Tensor y = layers.run([&](const at::Tensor& x, int64_t k, bool reverse) {
    const at::Tensor* w = layers.weights(k);
    auto [out, last_h, last_c, kept] = at::mkldnn_rnn_layer(
        x, w[0], w[1], has_biases ? w[2] : none, has_biases ? w[3] : none, h[k], c[k], reverse, {},
        kLstm, hx[0].size(2), num_layers, has_biases, bidirectional, /*batch_first=*/false, train);
    hy.push_back(last_h), cy.push_back(last_c);
    return out;
  });
  return {y, at::stack(hy, 0), at::stack(cy, 0)};
}

TORCH_LIBRARY_IMPL(aten, AutogradPrivateUse1, m) { m.impl("lstm.input", &lstm_input); }

// input [length, batch, features], weights [4 hidden, features] and [4 hidden, hidden], hx and cx
// [batch, hidden]; gates are i, f, g, o.
Four TRN_OP(mkldnn_rnn_layer)(const at::Tensor& input, const at::Tensor& weight0,
                              const at::Tensor& weight1, const at::Tensor& weight2,
                              const at::Tensor& weight3, const at::Tensor& hx_,
                              const at::Tensor& cx_, bool reverse, at::IntArrayRef batch_sizes,
                              int64_t mode, int64_t hidden_size, int64_t /*num_layers*/,
                              bool has_biases, bool /*bidirectional*/, bool batch_first,
                              bool /*train*/) {
  TORCH_CHECK_NOT_IMPLEMENTED(mode == kLstm && batch_sizes.empty() && !batch_first,
                              "mkldnn_rnn_layer on trn is an LSTM over [length, batch, features]");
  Layer layer(input, hidden_size, reverse);
  const int64_t cells = layer.batch * hidden_size;
  layer.kept = at::empty({layer.length * cells * 5}, input.options());
  const at::Tensor gates = layer.gates(), all_cells = layer.cells();
  product(rows_of(gates), rows_of(input), weight0.t());
  at::Tensor output = at::empty({layer.length, layer.batch, hidden_size}, input.options());
  const at::Tensor from_hidden = empty_apart({layer.batch, 4 * hidden_size}, input.options());
  const Factor recurrent(weight1.t(), layer.batch, layer.length);
  const std::optional<at::Tensor> none;
  at::Tensor h = hx_.contiguous().view({layer.batch, hidden_size});
  at::Tensor c = cx_.contiguous().view({layer.batch, hidden_size});
  const at::Tensor bias = has_biases ? weight2.contiguous() : at::Tensor(),
                   hidden_bias = has_biases ? weight3.contiguous() : at::Tensor();
  for (int64_t step = 0; step < layer.length; ++step) {
    const int64_t t = layer.at(step);
    recurrent.product(from_hidden, h);
    const at::Tensor cx = c, gate = gates[t];
    h = output[t], c = all_cells[t];
    Launch(lstm_cell, compute_type(input.scalar_type()))
        .out(h)
        .out(c)
        .out(gate)
        .in(gate)
        .in(from_hidden)
        .in(cx)
        .in(bias)
        .in(hidden_bias)
        .run(layer.batch, grain_for(hidden_size * 60));
  }
  return {output, h.clone().view(hx_.sizes()), c.clone().view(cx_.sizes()), layer.kept};
}

Seven TRN_OP(mkldnn_rnn_layer_backward)(
    const at::Tensor& input, const at::Tensor& weight1, const at::Tensor& weight2,
    const at::Tensor& weight3, const at::Tensor& /*weight4*/, const at::Tensor& hx_,
    const at::Tensor& cx_tmp, const at::Tensor& output, const at::Tensor& /*hy_*/,
    const at::Tensor& /*cy_*/, const std::optional<at::Tensor>& grad_output,
    const std::optional<at::Tensor>& grad_hy, const std::optional<at::Tensor>& grad_cy,
    bool reverse, int64_t /*mode*/, int64_t hidden_size, int64_t /*num_layers*/, bool has_biases,
    bool /*train*/, bool /*bidirectional*/, at::IntArrayRef /*batch_sizes*/, bool /*batch_first*/,
    const at::Tensor& workspace) {
  at::Tensor grad = dense(grad_output), grad_h = dense(grad_hy), grad_c = dense(grad_cy);
  if (!grad.defined() && !grad_h.defined() && !grad_c.defined()) return {};
  Layer layer(input, hidden_size, reverse);
  layer.kept = workspace;
  const at::Tensor gates = layer.gates(), cells = layer.cells();
  const std::vector<int64_t> state{layer.batch, hidden_size};
  const at::Tensor hx = hx_.contiguous().view(state), cx = cx_tmp.contiguous().view(state);
  const at::Tensor grad_gates = empty_apart(gates.sizes(), gates.options());
  if (grad_h.defined()) grad_h = grad_h.view(state);
  if (grad_c.defined()) grad_c = grad_c.view(state);
  const int64_t first = layer.at(0);
  const Factor recurrent(weight2, layer.batch, layer.length);
  const at::Tensor before = at::empty(state, input.options()), grad_cx = at::empty_like(before);
  for (int64_t step = layer.length - 1; step >= 0; --step) {
    const int64_t t = layer.at(step);
    Launch(lstm_cell_backward, compute_type(input.scalar_type()))
        .out(grad_gates[t])
        .out(grad_cx)
        .in(grad_h)
        .in(grad_c)
        .in(step ? cells[layer.at(step - 1)] : cx)
        .in(cells[t])
        .in(gates[t])
        .in(grad.defined() ? grad[t] : grad)
        .run(layer.batch, grain_for(hidden_size * 40));
    recurrent.product(before, grad_gates[t]);
    grad_h = before, grad_c = grad_cx;
  }
  const at::Tensor all = rows_of(grad_gates);
  // The derivative asks for all gradients at once; a layer's input is often data. Whoever calls
  // with tensors that autograd does not know wants everything.
  const bool known = input.requires_grad() || weight1.requires_grad() || weight2.requires_grad() ||
                     weight3.requires_grad() || hx_.requires_grad() || cx_tmp.requires_grad();
  at::Tensor grad_input;
  if (input.requires_grad() || !known) {
    grad_input = at::empty(input.sizes(), input.options());
    product(rows_of(grad_input), all, weight1);
  }
  at::Tensor grad_w1 = at::empty(weight1.sizes(), weight1.options()),
             grad_w2 = at::empty(weight2.sizes(), weight2.options());
  product(grad_w1, all.t(), rows_of(input));
  // The hidden state before a step is the output of the step before, and hx before the first.
  const int64_t n = layer.length - 1;
  product(grad_w2, rows_of(grad_gates.narrow(0, reverse ? 0 : 1, n)).t(),
          rows_of(output.narrow(0, reverse ? 1 : 0, n)));
  product(grad_w2, grad_gates[first].t(), hx, grad_w2);
  const at::Tensor bias = has_biases ? at::sum(all, 0) : at::Tensor();
  return {grad_input,
          grad_w1,
          grad_w2,
          bias,
          has_biases ? bias.clone() : bias,
          before.view(hx_.sizes()),
          grad_cx.view(cx_tmp.sizes())};
}

}  // namespace trn::ops
