// Batch normalisation over several processes (nn.SyncBatchNorm): each one's sums and their merger.
#include <ATen/TensorOperators.h>
#include <ATen/ops/addcmul.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full.h>
#include <ATen/ops/rsqrt.h>

#include "ops/batch_norm.h"

namespace trn::ops {
namespace {

using Pair = std::tuple<at::Tensor, at::Tensor>;

// Mean and 1 / deviation of parts [processes, channels] together, which moves the running
// statistics; counts [processes]: the values a channel of each part.
Pair merge(const at::Tensor& means, const at::Tensor& invstds, const Optional& running_mean,
           const Optional& running_var, double momentum, double eps, const at::Tensor& counts) {
  const at::Tensor share = counts.to(means.scalar_type()).unsqueeze(1), n = share.sum();
  const at::Tensor mean = (means * share).sum(0) / n;
  const at::Tensor between = means - mean, within = (invstds * invstds).reciprocal() - eps;
  const at::Tensor squares = (at::addcmul(within, between, between) * share).sum(0);
  if (given(running_mean)) running_mean->mul_(1 - momentum).add_(mean, momentum);
  if (given(running_var)) running_var->mul_(1 - momentum).add_(squares / (n - 1), momentum);
  return {mean, at::rsqrt(squares / n + eps)};
}

}  // namespace

Pair TRN_OP(batch_norm_stats)(const at::Tensor& input, double eps) {
  const auto [mean, var] = statistics(Planes(input, input.suggest_memory_format()));
  return {mean, at::rsqrt(var + eps)};
}

Pair TRN_OP(batch_norm_gather_stats)(const at::Tensor&, const at::Tensor& mean,
                                     const at::Tensor& invstd, const Optional& running_mean,
                                     const Optional& running_var, double momentum, double eps,
                                     int64_t count) {
  return merge(mean, invstd, running_mean, running_var, momentum, eps,
               at::full({mean.size(0)}, count, mean.options()));
}

Pair TRN_OP(batch_norm_gather_stats_with_counts)(const at::Tensor&, const at::Tensor& mean,
                                                 const at::Tensor& invstd,
                                                 const Optional& running_mean,
                                                 const Optional& running_var, double momentum,
                                                 double eps, const at::Tensor& counts) {
  return merge(mean, invstd, running_mean, running_var, momentum, eps, counts);
}

at::Tensor TRN_OP(batch_norm_elemt)(const at::Tensor& input, const Optional& weight,
                                    const Optional& bias, const at::Tensor& mean,
                                    const at::Tensor& invstd, double) {
  const at::MemoryFormat format = input.suggest_memory_format();
  const at::Tensor out = at::empty_like(input, format);
  if (input.numel()) normalise_by(out, Planes(input, format), mean, invstd, weight, bias);
  return out;
}

at::Tensor& TRN_OP(batch_norm_elemt_out)(const at::Tensor& input, const Optional& weight,
                                         const Optional& bias, const at::Tensor& mean,
                                         const at::Tensor& invstd, double eps, at::Tensor& out) {
  return out.resize_(input.sizes())
      .copy_(ops::batch_norm_elemt(input, weight, bias, mean, invstd, eps));
}

// Sums of grad and of grad * (x - mean), then the gradients of weight and bias.
std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> TRN_OP(batch_norm_backward_reduce)(
    const at::Tensor& grad_out, const at::Tensor& input, const at::Tensor& mean,
    const at::Tensor& invstd, const Optional& weight, bool input_g, bool weight_g, bool bias_g) {
  const at::MemoryFormat format = input.suggest_memory_format();
  const auto [sum, dot] =
      sums_by_channel(Planes(input, format), Planes(grad_out, format).planes, mean.contiguous(), 0);
  const auto like_weight = [&](const at::Tensor& t) {
    return given(weight) ? t.to(weight->scalar_type()) : t;
  };
  return {input_g ? sum : at::Tensor(), input_g ? dot : at::Tensor(),
          weight_g ? like_weight(dot * invstd) : at::Tensor(),
          bias_g ? like_weight(sum) : at::Tensor()};
}

at::Tensor TRN_OP(batch_norm_backward_elemt)(const at::Tensor& grad_out, const at::Tensor& input,
                                             const at::Tensor& mean, const at::Tensor& invstd,
                                             const Optional& weight, const at::Tensor& sum_dy,
                                             const at::Tensor& sum_dy_xmu,
                                             const at::Tensor& count) {
  const at::MemoryFormat format = input.suggest_memory_format();
  const at::Tensor out = at::empty_like(input, format);
  if (input.numel() == 0) return out;
  const at::Tensor share = count.sum().to(mean.scalar_type()).reciprocal().neg();
  input_gradient(out, Planes(input, format), Planes(grad_out, format), mean, invstd,
                 scale_of(invstd, weight), sum_dy * share, sum_dy_xmu * share);
  return out;
}

}  // namespace trn::ops
