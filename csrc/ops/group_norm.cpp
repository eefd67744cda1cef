// Group normalisation: statistics of a group of channels, a weight and a bias for each channel.
#include <ATen/native/cpu/mixed_data_type.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/sum.h>

#include "ops/elementwise.h"
#include "ops/norm_types.h"
#include "ops/op.h"

namespace trn::ops {
namespace {

const Family group_norm("group_norm"), group_norm_backward("group_norm_backward");

using Optional = std::optional<at::Tensor>;

}  // namespace

std::tuple<at::Tensor, at::Tensor, at::Tensor> TRN_OP(native_group_norm)(
    const at::Tensor& input, const Optional& weight, const Optional& bias, int64_t N, int64_t C,
    int64_t HxW, int64_t group, double eps) {
  const at::Tensor w = weight ? *weight : at::Tensor(), b = bias ? *bias : at::Tensor();
  if (at::native::is_mixed_type(input, w, b)) at::native::check_mixed_data_type(input, w, b);
  check_norm_types(input, {&weight, &bias});
  const at::Tensor in = input.contiguous();
  const at::Tensor out = at::empty_like(in);
  const at::Tensor mean = at::empty({N, group}, in.options().dtype(stat_type(in)));
  const at::Tensor rstd = at::empty_like(mean);
  if (in.numel())
    Launch(trn::ops::group_norm, compute_type(in.scalar_type()))
        .out(out.view({N, C, HxW}))
        .out(mean)
        .out(rstd)
        .in(in.view({N, C, HxW}))
        .in(dense(weight))
        .in(dense(bias))
        .ints({group})
        .reals({eps})
        .run(N * group, grain_for(C / group * HxW * 4));
  // Kept in the type of the parameters, as on CUDA.
  const at::ScalarType kept =
      weight && weight->defined() ? weight->scalar_type() : in.scalar_type();
  return {out, mean.to(kept), rstd.to(kept)};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> TRN_OP(native_group_norm_backward)(
    const at::Tensor& grad_out, const at::Tensor& input, const at::Tensor& mean,
    const at::Tensor& rstd, const Optional& weight, int64_t N, int64_t C, int64_t HxW,
    int64_t group, std::array<bool, 3> output_mask) {
  const at::Tensor grad = grad_out.contiguous(), in = input.contiguous();
  at::Tensor gx, gw, gb;
  if (output_mask[0]) gx = at::empty_like(in);
  const at::Tensor dots = at::empty({N, C}, in.options().dtype(stat_type(in)));
  const at::Tensor sums = at::empty_like(dots);
  if (in.numel())
    Launch(trn::ops::group_norm_backward, compute_type(in.scalar_type()))
        .out(gx.defined() ? gx.view({N, C, HxW}) : gx)
        .out(dots)
        .out(sums)
        .in(grad.view({N, C, HxW}))
        .in(in.view({N, C, HxW}))
        .in(mean.contiguous())
        .in(rstd.contiguous())
        .in(dense(weight))
        .ints({group})
        .run(N * group, grain_for(C / group * HxW * 5));
  else dots.zero_(), sums.zero_();
  const at::ScalarType type =
      weight && weight->defined() ? weight->scalar_type() : in.scalar_type();
  if (output_mask[1]) gw = at::sum(dots, {0}).to(type);
  if (output_mask[2]) gb = at::sum(sums, {0}).to(type);
  return {gx, gw, gb};
}

}  // namespace trn::ops
