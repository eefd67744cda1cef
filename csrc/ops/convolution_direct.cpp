// Convolutions over rows of channels: a copy of the image, a packed weight, and their product.
#include "ops/convolution_direct.h"

#include <ATen/ops/empty.h>

#include "matmul_tiles.h"
#include "ops/matmul.h"

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

// A weight [groups, co / groups, ci / groups, kd, kh, kw] as [strips of channels, depth,
// kConvStrip].
at::Tensor pack(const at::Tensor& weight, bool joined, bool reversed) {
  const int64_t across = joined ? 1 : weight.size(5);
  const int64_t length = joined ? weight.size(5) * weight.size(2) : weight.size(2);
  // Room for runs of an odd length.
  const int64_t depth = weight.size(3) * weight.size(4) * across * (length + length % 2);
  const int64_t count = weight.size(0) * padded(weight.size(1)) / kConvStrip;
  const at::Tensor strips = at::empty({count, depth, kConvStrip}, weight.options());
  Launch(conv_pack, dtype_of(weight))
      .out(strips)
      .in(weight)
      .ints({joined, reversed})
      .run(count, grain_for(depth * kConvStrip * 2));
  return strips;
}

// out [n, co, d, h, w] = the sums over rows of channels [n, d, h, w, ci].
void multiply(const at::Tensor& out, const at::Tensor& rows, const at::Tensor& packed,
              const at::Tensor& bias, const ConvTaps (&axis)[3], int64_t groups, bool joined) {
  Launch launch(conv_direct, dtype_of(rows));
  launch.out(out).in(rows).in(packed).in(bias);
  const bool reversed = axis[2].step < 0;
  for (const ConvTaps& a : axis)
    if (reversed) launch.ints({a.taps, a.first + (a.taps - 1) * a.step, -a.step, a.stride});
    else launch.ints({a.taps, a.first, a.step, a.stride});
  const int64_t strips = packed.size(0), depth = packed.size(1);
  const int64_t positions = out.numel() / out.size(1);
  const int64_t block = block_of(positions, strips, positions * strips * kConvStrip * depth);
  launch.ints({groups, block, joined})
      .run((positions + block - 1) / block * strips, grain_for(block * kConvStrip * depth / 16));
}

void convolve_part(const ConvPart& part, const at::Tensor& rows, const at::Tensor& bias,
                   int64_t groups) {
  // Taps of a line that follow each other meet one run of memory, if they read all channels.
  const int64_t step = part.axis[2].step;
  const bool joined = std::abs(step) == 1 && groups == 1 && rows.stride(3) == rows.size(4);
  const at::Tensor packed = pack(part.weight.to(rows.scalar_type()), joined, step < 0);
  multiply(part.out, rows, packed, bias, part.axis, groups, joined);
}

// A matrix [n, channels] as an image of n positions, and as their rows of channels.
at::Tensor image_of(const at::Tensor& m) { return m.view({m.size(0), m.size(1), 1, 1, 1}); }
at::Tensor rows_of(const at::Tensor& m) { return m.view({m.size(0), 1, 1, 1, m.size(1)}); }

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

Factor::Factor(const at::Tensor& b, int64_t rows, int64_t products) : matrix_(b) {
  if (products < 2 || is_thin(rows, b.size(1)) || !has_direct_kernel(b.scalar_type())) return;
  packed_ = pack(b.t().view({1, b.size(1), b.size(0), 1, 1, 1}), false, false);
}

void Factor::product(const at::Tensor& out, const at::Tensor& a) const {
  if (!packed_.defined()) return matmul_into(out, a, matrix_);
  constexpr ConvTaps kOne{1, 0, 1, 1}, kAxes[3] = {kOne, kOne, kOne};
  multiply(image_of(out), rows_of(a), packed_, {}, kAxes, 1, false);
}

}  // namespace trn::ops
