// Depthwise convolutions of channels-last images.
#include <ATen/ops/empty.h>
#include <ATen/ops/sum.h>

#include "convolution_geometry.h"
#include "ops/convolution.h"
#include "ops/elementwise.h"

namespace trn::ops {
namespace {

const Family depthwise_family("depthwise"), depthwise_weight_family("depthwise_weight");

// [channels, 1, kernel...] as [taps, channels] in the kernel's type.
at::Tensor by_taps(const at::Tensor& weight) {
  return weight.reshape({weight.size(0), -1}).t().to(stat_type(weight))
      .contiguous();
}

void describe(Launch& launch, const Conv& c, bool transposed) {
  for (const auto* triple : {&c.kernel, &c.stride, &c.padding, &c.dilation})
    launch.ints(at::IntArrayRef(*triple));
  launch.ints({transposed});
}

int64_t lines(const at::Tensor& t) { return t.size(0) * t.size(2) * t.size(3); }

}  // namespace

bool is_depthwise(const Conv& c, const at::Tensor& image, const at::Tensor& result) {
  const int64_t channels = image.size(1);
  // A line of the output and the lines that it meets lie in scratch.
  const int64_t room = channels * std::max(image.size(4), result.size(4)) *
                       (1 + c.kernel[0] * c.kernel[1]);
  return channels > 1 && c.groups == channels && result.size(1) == channels &&
         at::isFloatingType(image.scalar_type()) && c.taps() <= kMostTaps &&
         room <= kMostLineNumbers && rows_of_channels(image).defined() &&
         rows_of_channels(result).defined();
}

void depthwise(const at::Tensor& out, const at::Tensor& image, const at::Tensor& weight,
               const at::Tensor& bias, const Conv& c, bool transposed) {
  const at::Tensor w = by_taps(weight);
  Launch launch(depthwise_family, dtype_of(w));
  launch.out(out).in(image).in(w).in(
      bias.defined() ? bias.to(w.scalar_type()).contiguous() : bias);
  describe(launch, c, transposed);
  launch.run(lines(out), grain_for(out.size(4) * out.size(1) * c.taps()));
}

void depthwise_weight(const at::Tensor& grad_weight, const at::Tensor& grad_out,
                      const at::Tensor& image, const Conv& c) {
  constexpr int64_t kLinesOfPart = 16, kMostParts = 64;
  const int64_t parts = std::clamp<int64_t>(lines(grad_out) / kLinesOfPart, 1, kMostParts);
  const at::Tensor sums =
      at::empty({parts, c.taps(), image.size(1)},
                image.options().dtype(stat_type(image))
                    .memory_format(std::nullopt));
  Launch launch(depthwise_weight_family, dtype_of(sums));
  launch.out(sums).in(grad_out).in(image);
  describe(launch, c, false);
  launch.run(parts, grain_for(grad_out.numel() / parts * c.taps()));
  at::Tensor(grad_weight).copy_(at::sum(sums, {0}).t().reshape(grad_weight.sizes()));
}

}  // namespace trn::ops
