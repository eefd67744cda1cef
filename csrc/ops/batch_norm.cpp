// Batch normalisation: statistics by channel, then one scale and shift.
#include <ATen/OpMathType.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/addcmul.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/rsqrt.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/var_mean.h>
#include <ATen/ops/zeros.h>

#include "ops/elementwise.h"
#include "ops/op.h"

namespace trn::ops {
namespace {

const Family channel_sums("channel_sums");

using Optional = std::optional<at::Tensor>;

bool given(const Optional& t) { return t && t->defined(); }
at::ScalarType stat_type(const at::Tensor& t) { return at::toOpMathType(t.scalar_type()); }

int64_t channels(const at::Tensor& t) { return t.size(1); }
int64_t per_channel(const at::Tensor& t) { return t.numel() / std::max<int64_t>(1, t.size(1)); }

// A vector of channels against a tensor of any dimension.
at::Tensor spread(const at::Tensor& v, const at::Tensor& like) {
  std::vector<int64_t> sizes(like.dim(), 1);
  sizes[1] = like.size(1);
  return v.reshape(sizes);
}

std::vector<int64_t> other_dims(const at::Tensor& t) {
  std::vector<int64_t> dims;
  for (int64_t d = 0; d < t.dim(); ++d)
    if (d != 1) dims.push_back(d);
  return dims;
}

at::Tensor as_planes(const at::Tensor& t) { return t.reshape({t.size(0), t.size(1), -1}); }

// Mean and biased variance of each channel, in the statistics' type.
std::pair<at::Tensor, at::Tensor> statistics(const at::Tensor& input) {
  if (!input.is_contiguous()) {
    auto [var, mean] = at::var_mean(input.to(stat_type(input)), other_dims(input), 0);
    return {mean, var};
  }
  const auto options = input.options().dtype(stat_type(input)).memory_format(std::nullopt);
  at::Tensor mean = at::empty({channels(input)}, options), var = at::empty_like(mean);
  const at::Tensor none;
  Launch(channel_sums, compute_type(input.scalar_type()))
      .out(mean).out(var).in(as_planes(input)).in(none).in(none)
      .run(channels(input), grain_for(per_channel(input) * 2));
  return {mean, var};
}

// Sums of grad and of grad * (input - mean) by channel.
std::pair<at::Tensor, at::Tensor> gradient_sums(const at::Tensor& grad, const at::Tensor& input,
                                                const at::Tensor& mean) {
  const at::ScalarType stat = stat_type(input);
  if (!input.is_contiguous() || !grad.is_contiguous()) {
    const at::Tensor g = grad.to(stat);
    const at::Tensor centred = input.to(stat) - spread(mean, input);
    return {at::sum(g, other_dims(g)), at::sum(g * centred, other_dims(g))};
  }
  at::Tensor sum = at::empty({channels(input)}, input.options().dtype(stat)),
             dot = at::empty_like(sum);
  Launch(channel_sums, compute_type(input.scalar_type()))
      .out(sum).out(dot).in(as_planes(input)).in(as_planes(grad)).in(mean)
      .run(channels(input), grain_for(per_channel(input) * 3));
  return {sum, dot};
}

// input * scale + shift by channel, into out.
void affine(const at::Tensor& out, const at::Tensor& input, const at::Tensor& scale,
            const at::Tensor& shift) {
  at::Tensor target = out;
  at::addcmul_out(target, spread(shift, input), input, spread(scale, input));
}

struct Result {
  at::Tensor out, mean, invstd;
};

Result normalise(const at::Tensor& input, const Optional& weight, const Optional& bias,
                 const Optional& running_mean, const Optional& running_var, bool training,
                 double momentum, double eps) {
  const at::ScalarType stat = stat_type(input);
  Result r;
  r.out = at::empty_like(input, input.suggest_memory_format());
  at::Tensor mean, invstd;
  if (training) {
    TORCH_CHECK(input.numel() == 0 || per_channel(input) > 0,
                "Expected more than 1 value per channel when training, got input size ",
                input.sizes());
    at::Tensor var;
    std::tie(mean, var) = statistics(input);
    invstd = at::rsqrt(var + eps);
    const double n = static_cast<double>(per_channel(input));
    if (given(running_mean)) running_mean->mul_(1 - momentum).add_(mean, momentum);
    if (given(running_var))
      running_var->mul_(1 - momentum).add_(var, momentum * (n > 1 ? n / (n - 1) : n));
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
  if (input.numel() == 0) return r;
  const at::Tensor scale = given(weight) ? invstd * weight->to(stat) : invstd;
  const at::Tensor shift =
      given(bias) ? at::addcmul(bias->to(stat), mean, scale, -1) : -(mean * scale);
  affine(r.out, input, scale, shift);
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
  const at::Tensor grad = grad_out.contiguous(input.suggest_memory_format());
  const at::Tensor mean = train ? *save_mean : running_mean->to(stat);
  const at::Tensor invstd = train ? *save_invstd : at::rsqrt(running_var->to(stat) + eps);
  const at::Tensor scale = given(weight) ? invstd * weight->to(stat) : invstd;
  Gradients g;
  at::Tensor sum, dot;
  if (input.numel() && (train || mask[1] || mask[2])) std::tie(sum, dot) = gradient_sums(grad, input, mean);
  if (mask[0]) {
    g.input = at::empty_like(input, input.suggest_memory_format());
    if (input.numel() && !train) {
      at::mul_out(g.input, grad, spread(scale, input));
    } else if (input.numel()) {
      // grad * scale + input * b + c, with b and c chosen so that both sums of the result vanish.
      const double n = static_cast<double>(per_channel(input));
      const at::Tensor b = dot * invstd * invstd * scale * (-1.0 / n);
      const at::Tensor c = at::addcmul(sum * scale * (-1.0 / n), mean, b, -1);
      const at::Tensor part = at::addcmul(spread(c, input), input, spread(b, input));
      at::addcmul_out(g.input, part, grad, spread(scale, input));
    }
  }
  const auto like = [&](const at::Tensor& t) {
    return given(weight) ? t.to(weight->scalar_type()) : t;
  };
  const auto zero = [&] { return at::zeros({channels(input)}, input.options().memory_format(std::nullopt)); };
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
                                        const Optional& running_var, bool training,
                                        double momentum, double eps, at::Tensor& out,
                                        at::Tensor& save_mean, at::Tensor& save_invstd) {
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
    double momentum, double eps, at::Tensor& out, at::Tensor& save_mean,
    at::Tensor& save_invstd) {
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
    const at::Tensor& input, const Optional& weight, const Optional& bias,
    at::Tensor& running_mean, at::Tensor& running_var, double momentum, double eps) {
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
  auto [mean, var] = statistics(input);
  const double n = static_cast<double>(per_channel(input));
  if (given(running_mean)) running_mean->mul_(1 - momentum).add_(mean, momentum);
  if (given(running_var))
    running_var->mul_(1 - momentum).add_(var, momentum * (n > 1 ? n / (n - 1) : n));
  return {mean, var};
}

}  // namespace trn::ops
