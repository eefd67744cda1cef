// Layer and RMS normalisation: rows.
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <c10/util/accumulate.h>

#include "ops/elementwise.h"
#include "ops/op.h"

namespace trn::ops {
namespace {

const Family row_norm("row_norm");
const Family row_norm_backward("row_norm_backward");
const Family row_norm_weights("row_norm_weights");
const Family channel_totals("channel_totals");

using Optional = std::optional<at::Tensor>;

struct Rows {
  int64_t rows, length;
  std::vector<int64_t> stat_sizes;
};

Rows rows_of(const at::Tensor& input, at::IntArrayRef normalized, const Optional& weight,
             const Optional& bias) {
  const int64_t n = static_cast<int64_t>(normalized.size());
  TORCH_CHECK(n >= 1, "Expected normalized_shape to be at least 1-dimensional, i.e., ",
              "containing at least one element, but got normalized_shape = ", normalized);
  for (const Optional* t : {&weight, &bias})
    TORCH_CHECK(!*t || !(*t)->defined() || (*t)->sizes().equals(normalized), "Expected ",
                t == &weight ? "weight" : "bias",
                " to be of same shape as normalized_shape, but got ",
                t == &weight ? "weight" : "bias", " of shape ", (*t)->sizes(),
                " and normalized_shape = ", normalized);
  const bool fits = input.dim() >= n && input.sizes().slice(input.dim() - n).equals(normalized);
  TORCH_CHECK(
      fits, "Given normalized_shape=", normalized, ", expected input with shape [*",
      [&] {
        std::string s;
        for (int64_t d : normalized) s += ", " + std::to_string(d);
        return s;
      }(),
      "], but got input of size", input.sizes());
  Rows r;
  const int64_t axis = input.dim() - n;
  r.rows = c10::multiply_integers(input.sizes().slice(0, axis));
  r.length = c10::multiply_integers(normalized);
  r.stat_sizes.assign(input.sizes().begin(), input.sizes().begin() + axis);
  r.stat_sizes.resize(input.dim(), 1);
  return r;
}

void forward(const at::Tensor& out, const at::Tensor& mean, const at::Tensor& rstd,
             const at::Tensor& in, const at::Tensor& weight, const at::Tensor& bias, int64_t rows,
             int64_t length, double eps, bool centred) {
  const auto flat = [](const at::Tensor& t) { return t.defined() ? t.view({-1}) : t; };
  const auto matrix = [&](const at::Tensor& t) { return t.view({rows, length}); };
  Launch l(row_norm, compute_type(in.scalar_type()));
  l.out(matrix(out)).out(flat(mean)).out(flat(rstd)).in(matrix(in)).in(flat(weight)).in(flat(bias));
  l.ints({centred}).reals({eps}).run(rows, grain_for(length * 4));
}

// Gradients of input, weight and bias of a normalisation over rows.
struct Gradients {
  at::Tensor input, weight, bias;
};
Gradients backward(const at::Tensor& grad_out, const at::Tensor& input, const at::Tensor& mean,
                   const at::Tensor& rstd, const at::Tensor& weight, const at::Tensor& bias,
                   int64_t rows, int64_t length, bool centred, std::array<bool, 3> mask) {
  const at::Tensor grad = grad_out.contiguous(), in = input.contiguous();
  const at::Tensor g = grad.view({rows, length}), x = in.view({rows, length});
  const at::Tensor m = mean.defined() ? mean.contiguous().view({-1}) : mean;
  const at::Tensor r = rstd.contiguous().view({-1});
  const DType type = compute_type(input.scalar_type());
  Gradients out;
  if (mask[0]) {
    out.input = at::empty_like(in, at::MemoryFormat::Contiguous);
    if (in.numel())
      Launch(row_norm_backward, type)
          .out(out.input.view({rows, length}))
          .in(g)
          .in(x)
          .in(m)
          .in(r)
          .in(weight.defined() ? weight.view({-1}) : weight)
          .ints({centred})
          .run(rows, grain_for(length * 6));
  }
  if ((mask[1] && weight.defined()) || (mask[2] && (bias.defined() || weight.defined()))) {
    const at::Tensor& like = weight.defined() ? weight : bias;
    out.weight = mask[1] ? at::empty_like(like, at::MemoryFormat::Contiguous) : at::Tensor();
    out.bias = mask[2] ? at::empty_like(like, at::MemoryFormat::Contiguous) : at::Tensor();
    if (rows == 0) {
      if (out.weight.defined()) out.weight.zero_();
      if (out.bias.defined()) out.bias.zero_();
      return out;
    }
    const auto flat = [](const at::Tensor& t) { return t.defined() ? t.view({-1}) : t; };
    constexpr int64_t kRowsOfPart = 64, kMostParts = 64;
    const int64_t parts = std::clamp<int64_t>(rows / kRowsOfPart, 1, kMostParts);
    const at::Tensor sums = at::empty({parts, 2, length}, in.options().dtype(at::kDouble));
    Launch(row_norm_weights, type)
        .out(sums)
        .in(g)
        .in(x)
        .in(m)
        .in(r)
        .ints({centred})
        .run(parts, grain_for(rows / parts * length * 2));
    Launch(channel_totals, type)
        .out(flat(out.weight))
        .out(flat(out.bias))
        .in(sums)
        .in(at::Tensor())
        .ints({0})
        .run(length, grain_for(parts * 8));
  }
  return out;
}

}  // namespace

std::tuple<at::Tensor, at::Tensor, at::Tensor> TRN_OP(native_layer_norm)(
    const at::Tensor& input, at::IntArrayRef normalized_shape, const Optional& weight,
    const Optional& bias, double eps) {
  const Rows r = rows_of(input, normalized_shape, weight, bias);
  const at::Tensor in = input.contiguous();
  at::Tensor out = at::empty_like(in, at::MemoryFormat::Contiguous);
  at::Tensor mean = at::empty(r.stat_sizes, in.options().dtype(stat_type(in)));
  at::Tensor rstd = at::empty_like(mean);
  if (r.rows && r.length)
    forward(out, mean, rstd, in, dense(weight), dense(bias), r.rows, r.length, eps, true);
  return {out, mean, rstd};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> TRN_OP(native_layer_norm_backward)(
    const at::Tensor& grad_out, const at::Tensor& input, at::IntArrayRef normalized_shape,
    const at::Tensor& mean, const at::Tensor& rstd, const Optional& weight, const Optional& bias,
    std::array<bool, 3> output_mask) {
  const Rows r = rows_of(input, normalized_shape, weight, bias);
  const Gradients g = backward(grad_out, input, mean, rstd, dense(weight), dense(bias), r.rows,
                               r.length, true, output_mask);
  return {g.input, g.weight, g.bias};
}

std::tuple<at::Tensor, at::Tensor> TRN_OP(_fused_rms_norm)(const at::Tensor& input,
                                                           at::IntArrayRef normalized_shape,
                                                           const Optional& weight,
                                                           std::optional<double> eps) {
  const Rows r = rows_of(input, normalized_shape, weight, std::nullopt);
  const at::Tensor in = input.contiguous();
  at::Tensor out = at::empty_like(in, at::MemoryFormat::Contiguous);
  at::Tensor rstd = at::empty(r.stat_sizes, in.options().dtype(stat_type(in)));
  // The default is the machine epsilon of the type that statistics are kept in.
  const double e =
      eps.value_or(stat_type(in) == at::kDouble ? std::numeric_limits<double>::epsilon()
                                                : std::numeric_limits<float>::epsilon());
  if (r.rows && r.length) forward(out, {}, rstd, in, dense(weight), {}, r.rows, r.length, e, false);
  return {out, rstd};
}

std::tuple<at::Tensor, at::Tensor> TRN_OP(_fused_rms_norm_backward)(
    const at::Tensor& grad_out, const at::Tensor& input, at::IntArrayRef normalized_shape,
    const at::Tensor& rstd, const Optional& weight, std::array<bool, 2> output_mask) {
  const Rows r = rows_of(input, normalized_shape, weight, std::nullopt);
  const Gradients g = backward(grad_out, input, {}, rstd, dense(weight), {}, r.rows, r.length,
                               false, {output_mask[0], output_mask[1], false});
  return {g.input, g.weight};
}

}  // namespace trn::ops
