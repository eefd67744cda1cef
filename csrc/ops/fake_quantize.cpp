// Fake quantization: numbers as integers would hold them, and the observers that choose the scale.
//
// Made of element-wise operators, with scales and zero points that stay on the device.
#include <ATen/TensorOperators.h>
#include <ATen/ops/aminmax.h>
#include <ATen/ops/clamp.h>
#include <ATen/ops/logical_or.h>
#include <ATen/ops/round.h>
#include <ATen/ops/trunc.h>
#include <ATen/ops/where.h>

#include "ops/elementwise.h"
#include "ops/op.h"
#include "ops/quantize.h"
#include "ops/reduce.h"

namespace trn::ops {
namespace {

using Pair = std::tuple<at::Tensor, at::Tensor>;
using Three = std::tuple<at::Tensor, at::Tensor, at::Tensor>;

const Family observe_range("observe_range");

struct Integers {
  int64_t low, high;
  Integers(int64_t quant_min, int64_t quant_max) : low(quant_min), high(quant_max) {
    TORCH_CHECK(low <= high, "`quant_min` should be less than or equal to `quant_max`.");
  }
  at::Tensor clamped(const at::Tensor& x) const { return at::clamp(x, low, high); }
};

// A scale and a zero point, in the type that is computed in, shaped to broadcast.
struct Affine {
  at::Tensor scale, inverse, zero_point;
  bool moved_first;  // whether the zero point is added before rounding

  Affine(const at::Tensor& scales, const at::Tensor& zeros, bool zero_first = false)
      : scale(scales), inverse(scales.reciprocal()), zero_point(zeros), moved_first(zero_first) {}

  at::Tensor integers(const at::Tensor& x) const {
    return moved_first ? at::round(x * inverse + zero_point) : at::round(x * inverse) + zero_point;
  }
  at::Tensor numbers(const at::Tensor& integers) const { return (integers - zero_point) * scale; }
};

// One value for all of x; a tensor of no dimension, so that x keeps its shape.
at::Tensor whole(const at::Tensor& t, const at::Tensor& x) {
  TORCH_CHECK(t.numel() == 1, "scale and zero point should have one element, found ", t.sizes());
  return t.reshape({}).to(stat_type(x));
}

// One value a channel.
at::Tensor along(const at::Tensor& t, const at::Tensor& x, int64_t axis) {
  return ops::along(t, x, axis, stat_type(x));
}

Pair quantized(const at::Tensor& self, const Affine& by, const Integers& range) {
  const at::Tensor q = by.integers(self.to(stat_type(self))), held = range.clamped(q);
  return {by.numbers(held).to(self.scalar_type()), q.eq(held)};
}

Pair quantized_if(const at::Tensor& on, const at::Tensor& self, const Affine& by,
                  const Integers& range) {
  const auto [out, mask] = quantized(self, by, range);
  const at::Tensor is_on = on.reshape({}).ne(0);
  return {at::where(is_on, out, self), at::logical_or(mask, is_on.logical_not())};
}

void check_channels(const at::Tensor& self, const at::Tensor& scale, const at::Tensor& zero_point,
                    int64_t axis) {
  TORCH_CHECK(scale.dim() == 1, "scale should be a 1-D tensor");
  TORCH_CHECK(zero_point.dim() == 1, "zero point should be a 1-D tensor");
  TORCH_CHECK(scale.numel() == zero_point.numel(),
              "scale and zero-point need to have the same dimensions");
  TORCH_CHECK(axis >= 0 && axis < self.dim(),
              "`axis` must be between 0 and number of dimensions of input");
  TORCH_CHECK(scale.numel() == self.size(axis),
              "dimensions of scale and zero-point are not consistent with input tensor");
}

void check_zero_points(const at::Tensor& zero_point, const Integers& range) {
  if (zero_point.numel() == 0) return;
  const auto [low, high] = at::aminmax(zero_point);
  TORCH_CHECK(low.item<int64_t>() >= range.low && high.item<int64_t>() <= range.high,
              "`zero_point` must be between `quant_min` and `quant_max`.");
}

// Gradients by x, and, an element each, by the scale and the zero point (Esser and others, "Learned
// step size quantization", 2020).
Three learned(const at::Tensor& grad, const at::Tensor& x, const Affine& by, const Integers& range,
              double factor) {
  TORCH_CHECK(x.sizes() == grad.sizes(), "`X` and `dY` are not the same size");
  TORCH_CHECK(range.low <= 0 && range.high >= 0, "the quantization range should include 0.");
  const at::Tensor q = by.integers(x), held = range.clamped(q), inside = q.eq(held);
  const at::Tensor off = held - by.zero_point;
  const at::Tensor scaled = grad * factor;
  return {grad * inside, scaled * at::where(inside, (off * by.scale - x) * by.inverse, off),
          (scaled * -by.scale).masked_fill(inside, 0)};
}

}  // namespace

Pair TRN_OP(fake_quantize_per_tensor_affine_cachemask)(const at::Tensor& self, double scale,
                                                       int64_t zero_point, int64_t quant_min,
                                                       int64_t quant_max) {
  const Integers range(quant_min, quant_max);
  TORCH_CHECK(zero_point >= quant_min && zero_point <= quant_max,
              "`zero_point` must be between `quant_min` and `quant_max`.");
  const float size = static_cast<float>(scale);
  const at::Tensor q = at::round(self.to(stat_type(self)) * (1.0f / size)) + zero_point;
  const at::Tensor held = range.clamped(q);
  return {((held - zero_point) * size).to(self.scalar_type()), q.eq(held)};
}

Pair TRN_OP(_fake_quantize_per_tensor_affine_cachemask_tensor_qparams)(
    const at::Tensor& self, const at::Tensor& scale, const at::Tensor& zero_point,
    const at::Tensor& fake_quant_enabled, int64_t quant_min, int64_t quant_max) {
  return quantized_if(fake_quant_enabled, self, {whole(scale, self), whole(zero_point, self)},
                      {quant_min, quant_max});
}

Pair TRN_OP(fake_quantize_per_channel_affine_cachemask)(const at::Tensor& self,
                                                        const at::Tensor& scale,
                                                        const at::Tensor& zero_point, int64_t axis,
                                                        int64_t quant_min, int64_t quant_max) {
  check_channels(self, scale, zero_point, axis);
  const Integers range(quant_min, quant_max);
  const bool real = at::isFloatingType(zero_point.scalar_type());
  if (!real) check_zero_points(zero_point, range);
  return quantized(self, {along(scale, self, axis), along(zero_point, self, axis), real}, range);
}

at::Tensor TRN_OP(_fake_quantize_learnable_per_tensor_affine)(const at::Tensor& self,
                                                              const at::Tensor& scale,
                                                              const at::Tensor& zero_point,
                                                              int64_t quant_min, int64_t quant_max,
                                                              double /*grad_factor*/) {
  const Integers range(quant_min, quant_max);
  const at::Tensor zero = range.clamped(at::round(whole(zero_point, self)));
  return std::get<0>(quantized(self, {whole(scale, self), zero}, range));
}

Three TRN_OP(_fake_quantize_learnable_per_tensor_affine_backward)(
    const at::Tensor& grad, const at::Tensor& self, const at::Tensor& scale,
    const at::Tensor& zero_point, int64_t quant_min, int64_t quant_max, double grad_factor) {
  const Integers range(quant_min, quant_max);
  // As PyTorch: half is added and the rest cut off, where the forward pass rounds to even.
  const at::Tensor zero = at::trunc(range.clamped(whole(zero_point, self) + 0.5));
  const auto [by_x, by_scale, by_zero] =
      learned(grad, self, {whole(scale, self), zero}, range, grad_factor);
  return {by_x, by_scale.sum().unsqueeze(0), by_zero.sum().unsqueeze(0)};
}

at::Tensor TRN_OP(_fake_quantize_learnable_per_channel_affine)(
    const at::Tensor& self, const at::Tensor& scale, const at::Tensor& zero_point, int64_t axis,
    int64_t quant_min, int64_t quant_max, double /*grad_factor*/) {
  check_channels(self, scale, zero_point, axis);
  const Integers range(quant_min, quant_max);
  const at::Tensor zero = range.clamped(at::round(along(zero_point, self, axis)));
  return std::get<0>(quantized(self, {along(scale, self, axis), zero}, range));
}

Three TRN_OP(_fake_quantize_learnable_per_channel_affine_backward)(
    const at::Tensor& grad, const at::Tensor& self, const at::Tensor& scale,
    const at::Tensor& zero_point, int64_t axis, int64_t quant_min, int64_t quant_max,
    double grad_factor) {
  check_channels(self, scale, zero_point, axis);
  const Integers range(quant_min, quant_max);
  const at::ScalarType type = stat_type(self);
  const at::Tensor zero = range.clamped(at::round(along(zero_point, self, axis)));
  const auto [by_x, by_scale, by_zero] =
      learned(grad.to(type), self.to(type), {along(scale, self, axis), zero}, range, grad_factor);
  return {by_x, sum_all_but(by_scale, axis).flatten(), sum_all_but(by_zero, axis).flatten()};
}

Pair TRN_OP(_fused_moving_avg_obs_fq_helper)(const at::Tensor& self, const at::Tensor& observer_on,
                                             const at::Tensor& fake_quant_on,
                                             at::Tensor& running_min, at::Tensor& running_max,
                                             at::Tensor& scale, at::Tensor& zero_point,
                                             double averaging_const, int64_t quant_min,
                                             int64_t quant_max, int64_t ch_axis,
                                             bool per_row_fake_quant, bool symmetric_quant) {
  TORCH_CHECK(!per_row_fake_quant || ch_axis < self.dim(),
              "Error in fused_moving_avg_obs_fake_quant: ch_axis must be < self.dim()");
  const int64_t channels = per_row_fake_quant ? self.size(ch_axis) : 1;
  if (per_row_fake_quant && running_min.numel() == 0) {
    running_min.resize_({channels}).fill_(std::numeric_limits<double>::infinity());
    running_max.resize_({channels}).fill_(-std::numeric_limits<double>::infinity());
    scale.resize_({channels}).fill_(1);
    zero_point.resize_({channels}).fill_(0);
  }
  for (const at::Tensor& t : {running_min, running_max, scale, zero_point})
    TORCH_CHECK(t.numel() == channels && t.is_contiguous(),
                "Error in "
                "fused_moving_avg_obs_fake_quant: ranges, scale and zero point should be dense and "
                "have ",
                channels, " elements, found ", t.sizes());
  const at::Tensor rows = per_row_fake_quant ? self.movedim(ch_axis, 0).flatten(1) : self;
  const auto [low, high] = per_row_fake_quant ? at::aminmax(rows, 1) : at::aminmax(rows);
  Launch(observe_range, DType::f32)
      .out(running_min.view({channels}))
      .out(running_max.view({channels}))
      .out(scale.view({channels}))
      .out(zero_point.view({channels}))
      .in(low.to(at::kFloat).view({channels}))
      .in(high.to(at::kFloat).view({channels}))
      .in(observer_on)
      .in(fake_quant_on)
      .ints({quant_min, quant_max, symmetric_quant})
      .reals({averaging_const})
      .run(channels, grain_for(100));
  const auto shaped = [&](const at::Tensor& t) {
    return per_row_fake_quant ? along(t, self, ch_axis) : whole(t, self);
  };
  return quantized_if(fake_quant_on, self, {shaped(scale), shaped(zero_point)},
                      {quant_min, quant_max});
}

}  // namespace trn::ops
