// Layer and RMS normalisation: rows.
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <c10/util/accumulate.h>

#include "ops/elementwise.h"
#include "ops/norm_types.h"
#include "ops/op.h"

namespace trn::ops {
namespace {

const Family row_norm("row_norm");
const Family row_norm_backward("row_norm_backward");
const Family row_norm_gradients("row_norm_gradients");
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

// What the gradients are computed from, dense.
struct Known {
  at::Tensor grad, in, mean, rstd, weight;
  bool centred;
  DType type;
  int64_t rows, length;
};

void input_gradient(const Known& k, const at::Tensor& out) {
  Launch(row_norm_backward, k.type)
      .out(out)
      .in(k.grad)
      .in(k.in)
      .in(k.mean)
      .in(k.rstd)
      .in(k.weight)
      .ints({k.centred})
      .run(k.rows, grain_for(k.length * 6));
}

// Gradients of weight and bias, [length] or undefined, as sums over parts of the rows. The input's
// comes with them, unless it is undefined, where there are parts enough for all threads: rows are
// read once then.
void weight_gradients(const Known& k, const at::Tensor& weight, const at::Tensor& bias,
                      const at::Tensor& input) {
  constexpr int64_t kRowsOfPart = 64, kMostParts = 64;
  const int64_t parts = std::clamp<int64_t>(k.rows / kRowsOfPart, 1, kMostParts);
  const bool joint = input.defined() && parts >= 4 * driver::compute_threads();
  if (input.defined() && !joint) input_gradient(k, input);
  const at::Tensor sums = at::empty({parts, 2, k.length}, k.in.options().dtype(at::kDouble));
  Launch(row_norm_gradients, k.type)
      .out(sums)
      .out(joint ? input : at::Tensor())
      .in(k.grad)
      .in(k.in)
      .in(k.mean)
      .in(k.rstd)
      .in(joint ? k.weight : at::Tensor())
      .ints({k.centred})
      .run(parts, grain_for(k.rows / parts * k.length * (joint ? 8 : 2)));
  Launch(channel_totals, k.type)
      .out(weight)
      .out(bias)
      .in(sums)
      .in(at::Tensor())
      .ints({0})
      .run(k.length, grain_for(parts * 8));
}

Gradients backward(const at::Tensor& grad_out, const at::Tensor& input, const at::Tensor& mean,
                   const at::Tensor& rstd, const at::Tensor& weight, const at::Tensor& bias,
                   int64_t rows, int64_t length, bool centred, std::array<bool, 3> mask) {
  const at::Tensor grad = grad_out.contiguous(), in = input.contiguous();
  const auto matrix = [&](const at::Tensor& t) { return t.defined() ? t.view({rows, length}) : t; };
  const auto flat = [](const at::Tensor& t) { return t.defined() ? t.view({-1}) : t; };
  const Known k{matrix(grad),
                matrix(in),
                flat(dense(mean)),
                flat(dense(rstd)),
                flat(weight),
                centred,
                compute_type(input.scalar_type()),
                rows,
                length};
  const auto like = [](bool wanted, const at::Tensor& t) {
    return wanted ? at::empty_like(t, at::MemoryFormat::Contiguous) : at::Tensor();
  };
  const at::Tensor& affine = weight.defined() ? weight : bias;
  const Gradients out{like(mask[0], in), like(mask[1] && weight.defined(), affine),
                      like(mask[2] && affine.defined(), affine)};
  const at::Tensor into = in.numel() ? matrix(out.input) : at::Tensor();
  if (!out.weight.defined() && !out.bias.defined()) {
    if (into.defined()) input_gradient(k, into);
  } else if (rows == 0) {
    for (at::Tensor t : {out.weight, out.bias})
      if (t.defined()) t.zero_();
  } else {
    weight_gradients(k, flat(out.weight), flat(out.bias), into);
  }
  return out;
}

}  // namespace

std::tuple<at::Tensor, at::Tensor, at::Tensor> TRN_OP(native_layer_norm)(
    const at::Tensor& input, at::IntArrayRef normalized_shape, const Optional& weight,
    const Optional& bias, double eps) {
  const Rows r = rows_of(input, normalized_shape, weight, bias);
  check_norm_types(input, {&weight, &bias});
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
