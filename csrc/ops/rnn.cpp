// Fused LSTM and GRU cells; layers, directions and packed sequences are PyTorch's own.
#include <ATen/TensorUtils.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/sum.h>

#include "ops/elementwise.h"
#include "ops/op.h"

namespace trn::ops {
namespace {

const Family lstm_cell("lstm_cell"), lstm_cell_backward("lstm_cell_backward"), gru_cell("gru_cell"),
    gru_cell_backward("gru_cell_backward");

// Gates [batch, count * hidden] of both sides, biases of as many columns, state [batch, hidden].
void check_sizes(at::CheckedFrom cell, const at::Tensor& input_gates,
                 const at::Tensor& hidden_gates, const at::Tensor& state,
                 const std::optional<at::Tensor>& input_bias,
                 const std::optional<at::Tensor>& hidden_bias, int64_t count) {
  const at::TensorArg input(input_gates, "input_gates", 1), hidden(hidden_gates, "hidden_gates", 2),
      previous(state, "prev_hidden", 3);
  at::checkDim(cell, input, 2);
  at::checkSameSize(cell, input, hidden);
  at::checkDim(cell, previous, 2);
  at::checkSize(cell, previous, 0, input_gates.size(0));
  at::checkSize(cell, input, 1, state.size(1) * count);
  int position = 4;
  for (const auto* bias : {&input_bias, &hidden_bias}) {
    if (dense(*bias).defined())
      at::checkSize(cell, at::TensorArg(**bias, "bias", position), {input_gates.size(1)});
    ++position;
  }
}

}  // namespace

std::tuple<at::Tensor, at::Tensor, at::Tensor> TRN_OP(_thnn_fused_lstm_cell)(
    const at::Tensor& input_gates, const at::Tensor& hidden_gates, const at::Tensor& cx,
    const std::optional<at::Tensor>& input_bias, const std::optional<at::Tensor>& hidden_bias) {
  check_sizes("_thnn_fused_lstm_cell", input_gates, hidden_gates, cx, input_bias, hidden_bias, 4);
  const at::Tensor c = cx.contiguous();
  at::Tensor gates = at::empty_like(input_gates, at::MemoryFormat::Contiguous);
  at::Tensor hy = at::empty_like(c), cy = at::empty_like(c);
  Launch(lstm_cell, compute_type(cx.scalar_type()))
      .out(hy)
      .out(cy)
      .out(gates)
      .in(input_gates.contiguous())
      .in(hidden_gates.contiguous())
      .in(c)
      .in(dense(input_bias))
      .in(dense(hidden_bias))
      .run(c.size(0), grain_for(c.size(1) * 60));
  return {hy, cy, gates};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> TRN_OP(_thnn_fused_lstm_cell_backward_impl)(
    const std::optional<at::Tensor>& grad_hy, const std::optional<at::Tensor>& grad_cy,
    const at::Tensor& cx, const at::Tensor& cy, const at::Tensor& workspace, bool has_bias) {
  if (!dense(grad_hy).defined() && !dense(grad_cy).defined()) return {};
  at::Tensor grad_gates = at::empty_like(workspace), grad_cx = at::empty_like(cx.contiguous());
  Launch(lstm_cell_backward, compute_type(cx.scalar_type()))
      .out(grad_gates)
      .out(grad_cx)
      .in(dense(grad_hy))
      .in(dense(grad_cy))
      .in(cx.contiguous())
      .in(cy.contiguous())
      .in(workspace.contiguous())
      .in(at::Tensor())
      .run(cx.size(0), grain_for(cx.size(1) * 40));
  return {grad_gates, grad_cx, has_bias ? grad_gates.sum(0) : at::Tensor()};
}

std::tuple<at::Tensor, at::Tensor> TRN_OP(_thnn_fused_gru_cell)(
    const at::Tensor& input_gates, const at::Tensor& hidden_gates, const at::Tensor& hx,
    const std::optional<at::Tensor>& input_bias, const std::optional<at::Tensor>& hidden_bias) {
  check_sizes("_thnn_fused_gru_cell", input_gates, hidden_gates, hx, input_bias, hidden_bias, 3);
  const at::Tensor h = hx.contiguous();
  at::Tensor hy = at::empty_like(h), workspace = at::empty({h.size(0), h.size(1) * 5}, h.options());
  Launch(gru_cell, compute_type(hx.scalar_type()))
      .out(hy)
      .out(workspace)
      .in(input_gates.contiguous())
      .in(hidden_gates.contiguous())
      .in(h)
      .in(dense(input_bias))
      .in(dense(hidden_bias))
      .run(h.size(0), grain_for(h.size(1) * 50));
  return {hy, workspace};
}

using Five = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor>;
Five TRN_OP(_thnn_fused_gru_cell_backward)(const at::Tensor& grad_hy, const at::Tensor& workspace,
                                           bool has_bias) {
  const at::Tensor g = grad_hy.contiguous();
  const int64_t h = g.size(1);
  at::Tensor grad_input = at::empty({g.size(0), 3 * h}, workspace.options());
  at::Tensor grad_hidden = at::empty_like(grad_input), grad_hx = at::empty_like(g);
  Launch(gru_cell_backward, compute_type(g.scalar_type()))
      .out(grad_input)
      .out(grad_hidden)
      .out(grad_hx)
      .in(g)
      .in(workspace.contiguous())
      .in(at::Tensor())
      .in(at::Tensor())
      .run(g.size(0), grain_for(h * 30));
  return {grad_input, grad_hidden, grad_hx, has_bias ? grad_input.sum(0) : at::Tensor(),
          has_bias ? grad_hidden.sum(0) : at::Tensor()};
}

}  // namespace trn::ops
