// Convolutions over rows of channels: a copy of the image, a packed weight, and their product.
#include "ops/convolution_direct.h"

#include <ATen/ops/empty.h>

#include "matmul_tiles.h"

namespace trn::ops {
namespace {

const Family conv_direct("conv_direct"), conv_pack("conv_pack");

// Even blocks of whole tiles: several a thread where the work is worth sharing at all.
int64_t block_of(int64_t positions, int64_t strips, int64_t products) {
  constexpr int64_t kItems = 8, kWorthSharing = 1 << 21;
  int64_t most = kConvPositions;
  for (;; most /= 2) {
    const int64_t block = even_part(positions, most, kConvRows);
    if (most <= kConvRows || products < kWorthSharing) return block;
    if ((positions + block - 1) / block * strips >= kItems) return block;
  }
}

void convolve_part(const ConvPart& part, const at::Tensor& rows, const at::Tensor& bias,
                   int64_t groups) {
  const at::Tensor &out = part.out, weight = part.weight.to(rows.scalar_type());
  // Taps of a line that follow each other meet one run of memory, if they read all channels.
  const int64_t step = part.axis[2].step;
  const bool reversed = step < 0;
  const bool joined = std::abs(step) == 1 && groups == 1 && rows.stride(3) == rows.size(4);
  const int64_t across = joined ? 1 : weight.size(5);
  const int64_t length = joined ? weight.size(5) * weight.size(2) : weight.size(2);
  // Room for runs of an odd length.
  const int64_t depth = weight.size(3) * weight.size(4) * across * (length + length % 2);
  const int64_t strips = groups * padded(weight.size(1)) / kConvStrip;
  const at::Tensor packed = at::empty({strips, depth, kConvStrip}, rows.options());
  Launch(conv_pack, dtype_of(rows)).out(packed).in(weight).ints({joined, reversed})
      .run(strips, grain_for(depth * kConvStrip * 2));

  Launch launch(conv_direct, dtype_of(rows));
  launch.out(out).in(rows).in(packed).in(bias);
  for (const ConvTaps& a : part.axis)
    if (reversed)
      launch.ints({a.taps, a.first + (a.taps - 1) * a.step, -a.step, a.stride});
    else
      launch.ints({a.taps, a.first, a.step, a.stride});
  const int64_t positions = out.numel() / out.size(1);
  const int64_t block = block_of(positions, strips, positions * strips * kConvStrip * depth);
  launch.ints({groups, block, joined})
      .run((positions + block - 1) / block * strips, grain_for(block * kConvStrip * depth / 16));
}

}  // namespace

RowsShape reach_of(const std::vector<ConvPart>& parts) {
  RowsShape shape;
  for (int d = 0; d < 3; ++d) {
    int64_t low = INT64_MAX, high = INT64_MIN;
    for (const ConvPart& p : parts) {
      const ConvTaps& a = p.axis[d];
      const int64_t last = a.first + (a.taps - 1) * a.step;
      low = std::min({low, a.first, last});
      high = std::max(high, std::max(a.first, last) + (p.out.size(2 + d) - 1) * a.stride);
    }
    shape.before[d] = -low;
    shape.size[d] = high - low + 1;
  }
  return shape;
}

bool has_direct_kernel(at::ScalarType type) { return conv_direct[dtype_of(type)]; }

void convolve_direct(const std::vector<ConvPart>& parts, const at::Tensor& image,
                     const at::Tensor& bias, int64_t groups) {
  const at::ScalarType type =
      has_direct_kernel(image.scalar_type()) ? image.scalar_type() : stat_type(image);
  const RowsShape shape = reach_of(parts);
  const at::Tensor rows = conv_rows(image, shape, type);
  for (ConvPart part : parts) {
    for (int d = 0; d < 3; ++d) part.axis[d].first += shape.before[d];
    convolve_part(part, rows, bias.defined() ? bias.contiguous() : bias, groups);
  }
}

}  // namespace trn::ops
