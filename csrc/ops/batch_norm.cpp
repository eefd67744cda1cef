// Batch normalisation: statistics by channel, then one scale and shift.
#include "ops/batch_norm.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/addcmul.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/rsqrt.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include "ops/norm_types.h"

namespace trn::ops {
namespace {

const Family channel_sums("channel_sums"), channel_totals("channel_totals"),
    channel_affine("channel_affine"), batch_norm_family("batch_norm"),
    batch_norm_backward_family("batch_norm_backward");

}  // namespace

std::pair<at::Tensor, at::Tensor> sums_by_channel(const Planes& in, const at::Tensor& grad,
                                                  const at::Tensor& pivot, int64_t count) {
  constexpr int64_t kRowsOfPart = 256, kMostParts = 64;
  const int64_t c = in.planes.size(1), cost = 3;
  const int64_t parts = in.last ? std::clamp<int64_t>(in.rows() / kRowsOfPart, 1, kMostParts) : 1;
  const at::Tensor partial = at::empty({parts, 2, c}, pivot.options().dtype(at::kDouble));
  const DType type = dtype_of(pivot);
  Launch(channel_sums, type)
      .out(partial)
      .in(in.planes)
      .in(grad)
      .in(pivot)
      .ints({in.last})
      .run(in.last ? parts : c, grain_for(in.planes.numel() / (in.last ? parts : c) * cost));
  at::Tensor first = at::empty_like(pivot), second = at::empty_like(pivot);
  Launch(channel_totals, type)
      .out(first)
      .out(second)
      .in(partial)
      .in(pivot)
      .ints({count})
      .run(c, grain_for(parts * 4));
  return {first, second};
}

// Sums are of what differs from the channel's first element, so that a large mean takes no digits
// from the variance.
std::pair<at::Tensor, at::Tensor> statistics(const Planes& in) {
  const auto options = in.tensor.options().dtype(stat_type(in.tensor)).memory_format(std::nullopt);
  if (in.tensor.numel() == 0) {
    const at::Tensor none = at::full({in.planes.size(1)}, std::nan(""), options);
    return {none, none};
  }
  const at::Tensor pivot = in.planes.select(0, 0).select(1, 0).to(options.dtype()).contiguous();
  return sums_by_channel(in, at::Tensor(), pivot, in.rows());
}

void affine(const at::Tensor& out, const Planes& x, const at::Tensor& scale,
            const at::Tensor& shift, const at::Tensor& y, const at::Tensor& other) {
  const int64_t items = x.last ? x.rows() : x.planes.size(0) * x.planes.size(1);
  Launch(channel_affine, dtype_of(scale))
      .out(out.reshape(x.planes.sizes()))
      .in(x.planes)
      .in(y)
      .in(scale)
      .in(other)
      .in(shift)
      .ints({x.last})
      .run(items, grain_for(x.planes.numel() / items * 2));
}

at::Tensor scale_of(const at::Tensor& invstd, const Optional& weight) {
  return given(weight) ? invstd * weight->to(invstd.scalar_type()) : invstd;
}

void normalise_by(const at::Tensor& out, const Planes& in, const at::Tensor& mean,
                  const at::Tensor& invstd, const Optional& weight, const Optional& bias) {
  const at::Tensor scale = scale_of(invstd, weight);
  const at::Tensor shift =
      given(bias) ? at::addcmul(bias->to(mean.scalar_type()), mean, scale, -1) : -(mean * scale);
  affine(out, in, scale, shift);
}

void input_gradient(const at::Tensor& out, const Planes& in, const Planes& grad,
                    const at::Tensor& mean, const at::Tensor& invstd, const at::Tensor& scale,
                    const at::Tensor& sum, const at::Tensor& dot) {
  // grad * scale + input * b + c, with b and c chosen so that both sums of the result vanish.
  const at::Tensor b = dot * invstd * invstd * scale;
  affine(out, in, b, at::addcmul(sum * scale, mean, b, -1), grad.planes, scale);
}

namespace {

// Normalises by the batch's own statistics; those: mean, biased variance, 1 / deviation.
std::tuple<at::Tensor, at::Tensor, at::Tensor> train(const at::Tensor& out, const Planes& in,
                                                     const Optional& weight, const Optional& bias,
                                                     double eps) {
  const int64_t c = in.planes.size(1);
  const at::Tensor mean =
      at::empty({c}, in.tensor.options().dtype(at::kFloat).memory_format(std::nullopt));
  const at::Tensor var = at::empty_like(mean), invstd = at::empty_like(mean);
  Launch(batch_norm_family, DType::f32)
      .out(out.reshape(in.planes.sizes()))
      .out(mean)
      .out(var)
      .out(invstd)
      .in(in.planes)
      .in(dense(weight))
      .in(dense(bias))
      .reals({eps})
      .run(c, grain_for(in.rows() * 4));
  return {mean, var, invstd};
}

// Moves running statistics towards those of a batch of n values a channel.
void follow(const Optional& running_mean, const Optional& running_var, const at::Tensor& mean,
            const at::Tensor& var, int64_t n, double momentum) {
  const double unbiased = n > 1 ? static_cast<double>(n) / static_cast<double>(n - 1) : 1;
  if (given(running_mean)) running_mean->mul_(1 - momentum).add_(mean, momentum);
  if (given(running_var)) running_var->mul_(1 - momentum).add_(var, momentum * unbiased);
}

struct Result {
  at::Tensor out, mean, invstd;
};

Result normalise(const at::Tensor& input, const Optional& weight, const Optional& bias,
                 const Optional& running_mean, const Optional& running_var, bool training,
                 double momentum, double eps) {
  check_batch_norm_types(input, weight, bias, running_mean, running_var);
  const at::ScalarType stat = stat_type(input);
  Result r;
  r.out = at::empty_like(input, input.suggest_memory_format());
  const Planes in(input, input.suggest_memory_format());
  at::Tensor mean, invstd;
  if (training) {
    TORCH_CHECK(input.numel() == 0 || per_channel(input) > 0,
                "Expected more than 1 value per channel when training, got input size ",
                input.sizes());
    at::Tensor var;
    if (in.in_one()) {
      std::tie(mean, var, invstd) = train(r.out, in, weight, bias, eps);
    } else {
      std::tie(mean, var) = statistics(in);
      invstd = at::rsqrt(var + eps);
    }
    follow(running_mean, running_var, mean, var, per_channel(input), momentum);
    r.mean = mean;
    r.invstd = invstd;
  } else {
    TORCH_CHECK(given(running_mean) && given(running_var),
                "running_mean and running_var must be defined in evaluation mode");
    mean = running_mean->to(stat);
    invstd = at::rsqrt(running_var->to(stat) + eps);
    r.mean = at::empty({0}, input.options().dtype(stat).memory_format(std::nullopt));
    r.invstd = at::empty_like(r.mean);
  }
  if (input.numel() == 0 || (training && in.in_one())) return r;
  normalise_by(r.out, in, mean, invstd, weight, bias);
  return r;
}

struct Gradients {
  at::Tensor input, weight, bias;
};

Gradients gradients(const at::Tensor& grad_out, const at::Tensor& input, const Optional& weight,
                    const Optional& running_mean, const Optional& running_var,
                    const Optional& save_mean, const Optional& save_invstd, bool train, double eps,
                    std::array<bool, 3> mask) {
  const at::ScalarType stat = stat_type(input);
  const Planes in(input, input.suggest_memory_format());
  const Planes grad(grad_out, input.suggest_memory_format());
  const at::Tensor mean = train ? *save_mean : running_mean->to(stat);
  const at::Tensor invstd = train ? *save_invstd : at::rsqrt(running_var->to(stat) + eps);
  Gradients g;
  at::Tensor sum, dot;
  const bool one = train && in.in_one() && grad_out.scalar_type() == input.scalar_type();
  if (one) {
    if (mask[0]) g.input = at::empty_like(input, input.suggest_memory_format());
    sum = at::empty_like(mean), dot = at::empty_like(mean);
    Launch(batch_norm_backward_family, DType::f32)
        .out(mask[0] ? g.input.reshape(in.planes.sizes()) : at::Tensor())
        .out(sum)
        .out(dot)
        .in(grad.planes)
        .in(in.planes)
        .in(mean.contiguous())
        .in(invstd.contiguous())
        .in(dense(weight))
        .run(channels(input), grain_for(in.rows() * 5));
  } else if (input.numel() && (train || mask[1] || mask[2]))
    std::tie(sum, dot) = sums_by_channel(in, grad.planes, mean.contiguous(), 0);
  if (mask[0] && !one) {
    g.input = at::empty_like(input, input.suggest_memory_format());
    const at::Tensor scale = scale_of(invstd, weight);
    if (input.numel() && !train) {
      affine(g.input, grad, scale, at::zeros_like(scale));
    } else if (input.numel()) {
      const double share = -1.0 / static_cast<double>(per_channel(input));
      input_gradient(g.input, in, grad, mean, invstd, scale, sum * share, dot * share);
    }
  }
  const auto like = [&](const at::Tensor& t) {
    return given(weight) ? t.to(weight->scalar_type()) : t;
  };
  const auto zero = [&] {
    return at::zeros({channels(input)}, input.options().memory_format(std::nullopt));
  };
  if (mask[1]) g.weight = input.numel() ? like(dot * invstd) : zero();
  if (mask[2]) g.bias = input.numel() ? like(sum) : zero();
  return g;
}

void copy_out(const Result& r, at::Tensor& out, at::Tensor& mean, at::Tensor& invstd) {
  out.resize_(r.out.sizes()).copy_(r.out);
  mean.resize_(r.mean.sizes()).copy_(r.mean);
  invstd.resize_(r.invstd.sizes()).copy_(r.invstd);
}

using Triple = std::tuple<at::Tensor, at::Tensor, at::Tensor>;
using TripleRef = std::tuple<at::Tensor&, at::Tensor&, at::Tensor&>;

}  // namespace

Triple TRN_OP(native_batch_norm)(const at::Tensor& input, const Optional& weight,
                                 const Optional& bias, const Optional& running_mean,
                                 const Optional& running_var, bool training, double momentum,
                                 double eps) {
  const Result r =
      normalise(input, weight, bias, running_mean, running_var, training, momentum, eps);
  return {r.out, r.mean, r.invstd};
}

TripleRef TRN_OP(native_batch_norm_out)(const at::Tensor& input, const Optional& weight,
                                        const Optional& bias, const Optional& running_mean,
                                        const Optional& running_var, bool training, double momentum,
                                        double eps, at::Tensor& out, at::Tensor& save_mean,
                                        at::Tensor& save_invstd) {
  copy_out(normalise(input, weight, bias, running_mean, running_var, training, momentum, eps), out,
           save_mean, save_invstd);
  return {out, save_mean, save_invstd};
}

Triple TRN_OP(_native_batch_norm_legit)(const at::Tensor& input, const Optional& weight,
                                        const Optional& bias, at::Tensor& running_mean,
                                        at::Tensor& running_var, bool training, double momentum,
                                        double eps) {
  const Result r =
      normalise(input, weight, bias, running_mean, running_var, training, momentum, eps);
  return {r.out, r.mean, r.invstd};
}

TripleRef TRN_OP(_native_batch_norm_legit_out)(const at::Tensor& input, const Optional& weight,
                                               const Optional& bias, at::Tensor& running_mean,
                                               at::Tensor& running_var, bool training,
                                               double momentum, double eps, at::Tensor& out,
                                               at::Tensor& save_mean, at::Tensor& save_invstd) {
  copy_out(normalise(input, weight, bias, running_mean, running_var, training, momentum, eps), out,
           save_mean, save_invstd);
  return {out, save_mean, save_invstd};
}

Triple TRN_OP(_native_batch_norm_legit_no_stats)(const at::Tensor& input, const Optional& weight,
                                                 const Optional& bias, bool training,
                                                 double momentum, double eps) {
  const Result r = normalise(input, weight, bias, {}, {}, training, momentum, eps);
  return {r.out, r.mean, r.invstd};
}

TripleRef TRN_OP(_native_batch_norm_legit_no_stats_out)(
    const at::Tensor& input, const Optional& weight, const Optional& bias, bool training,
    double momentum, double eps, at::Tensor& out, at::Tensor& save_mean, at::Tensor& save_invstd) {
  copy_out(normalise(input, weight, bias, {}, {}, training, momentum, eps), out, save_mean,
           save_invstd);
  return {out, save_mean, save_invstd};
}

Triple TRN_OP(native_batch_norm_backward)(const at::Tensor& grad_out, const at::Tensor& input,
                                          const Optional& weight, const Optional& running_mean,
                                          const Optional& running_var, const Optional& save_mean,
                                          const Optional& save_invstd, bool train, double eps,
                                          std::array<bool, 3> output_mask) {
  const Gradients g = gradients(grad_out, input, weight, running_mean, running_var, save_mean,
                                save_invstd, train, eps, output_mask);
  return {g.input, g.weight, g.bias};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> TRN_OP(_batch_norm_with_update)(
    const at::Tensor& input, const Optional& weight, const Optional& bias, at::Tensor& running_mean,
    at::Tensor& running_var, double momentum, double eps) {
  const Result r = normalise(input, weight, bias, running_mean, running_var, true, momentum, eps);
  return {r.out, r.mean, r.invstd, at::empty({0}, input.options().dtype(at::kByte))};
}

Triple TRN_OP(batch_norm_backward)(const at::Tensor& grad_out, const at::Tensor& input,
                                   const at::Tensor& weight, const Optional& running_mean,
                                   const Optional& running_var, const Optional& save_mean,
                                   const Optional& save_var, bool update, double eps,
                                   std::array<bool, 3> output_mask, const at::Tensor&) {
  const Gradients g = gradients(grad_out, input, weight, running_mean, running_var, save_mean,
                                save_var, update, eps, output_mask);
  return {g.input, g.weight, g.bias};
}

std::tuple<at::Tensor, at::Tensor> TRN_OP(batch_norm_update_stats)(const at::Tensor& input,
                                                                   const Optional& running_mean,
                                                                   const Optional& running_var,
                                                                   double momentum) {
  const auto [mean, var] = statistics(Planes(input, input.suggest_memory_format()));
  follow(running_mean, running_var, mean, var, per_channel(input), momentum);
  return {mean, var};
}

}  // namespace trn::ops
