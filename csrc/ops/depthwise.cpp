// Depthwise convolutions: over rows of channels, or over planes.
#include <ATen/ops/empty.h>
#include <ATen/ops/sum.h>

#include "depthwise_planes.h"
#include "matmul_tiles.h"
#include "ops/convolution.h"
#include "ops/elementwise.h"

namespace trn::ops {
namespace {

const Family rows_family("depthwise"), rows_weight_family("depthwise_weight"),
    planes_family("depthwise_planes"), planes_weight_family("depthwise_planes_weight");

std::array<int64_t, kWindowInts> window_of(const Conv& c, bool transposed) {
  std::array<int64_t, kWindowInts> ints;
  int64_t* to = ints.data();
  for (const auto* triple : {&c.kernel, &c.stride, &c.padding, &c.dilation})
    to = std::copy(std::begin(*triple), std::end(*triple), to);
  *to = transposed;
  return ints;
}

int64_t lines(const at::Tensor& t) { return t.size(0) * t.size(2) * t.size(3); }

bool is_depthwise(const Conv& c, const at::Tensor& image, const at::Tensor& result) {
  const int64_t channels = image.size(1);
  return channels > 1 && c.groups == channels && result.size(1) == channels &&
         at::isFloatingType(image.scalar_type()) && c.taps() <= kMostTaps;
}
// Whether a convolution with this image or these results goes over rows of channels: a line of the
// output and the lines that it meets lie in scratch.
bool by_rows(const Conv& c, const at::Tensor& lying) {
  const int64_t room =
      lying.size(1) * std::max(c.in[2], c.out[2]) * (1 + c.kernel[0] * c.kernel[1]);
  return room <= kMostLineNumbers && rows_of_channels(lying).defined();
}
at::Tensor as_rows(const at::Tensor& t) {
  return t.permute({0, 2, 3, 4, 1}).contiguous().permute({0, 4, 1, 2, 3});
}
// Lines of numbers that follow each other, or repeat one.
at::Tensor as_planes(const at::Tensor& t) { return t.stride(4) > 1 ? t.contiguous() : t; }

constexpr int64_t kMostSums = 1024;  // of an item's channels: they stay in the first level

// A block of results over planes: lines, columns, and the scratch it takes.
struct Block {
  int64_t rows, columns, bytes;
};
// `unit`: columns are a multiple of it; `beside`: lines of results are copied too.
Block block_of(const Conv& c, bool transposed, const at::Tensor& results, int64_t unit, bool beside,
               int64_t size) {
  constexpr int64_t kLeastRows = 4;
  const auto ints = window_of(c, transposed);
  const Window window(ints.data());
  Block b{results.size(3), even_part(results.size(4), kPlaneColumns, unit), 0};
  const PlaneLine line(window, b.columns);
  const auto bytes = [&](int64_t rows) {
    return size * (c.kernel[0] * plane_lines(window, rows) * line.numbers() +
                   (beside ? rows * b.columns : 0));
  };
  while (b.rows > kLeastRows && bytes(b.rows) > kPlaneBytes) b.rows -= (b.rows + 7) / 8;
  b.rows = even_part(results.size(3), b.rows, kLeastRows);
  b.bytes = bytes(b.rows) + size * (line.numbers() + (kLeastRows + 1) * (b.columns + kPlaneRoom) +
                                    std::max(c.taps() * kPlaneRoom, kMostSums));
  return b;
}
int64_t blocks_of(const Block& b, const at::Tensor& results) {
  return results.size(2) * ((results.size(3) + b.rows - 1) / b.rows) *
         ((results.size(4) + b.columns - 1) / b.columns);
}

void over_rows(const at::Tensor& out, const at::Tensor& image, const at::Tensor& weight,
               const at::Tensor& bias, const Conv& c, bool transposed) {
  Launch(rows_family, dtype_of(weight))
      .out(out)
      .in(as_rows(image))
      .in(weight.t().contiguous())
      .in(bias)
      .ints(window_of(c, transposed))
      .run(lines(out), grain_for(out.size(4) * out.size(1) * c.taps()));
}

// Sums [parts, taps, channels].
at::Tensor rows_weight(const at::Tensor& grad_out, const at::Tensor& image, const Conv& c,
                       const at::TensorOptions& options) {
  constexpr int64_t kLinesOfPart = 16, kMostParts = 64;
  const int64_t parts = std::clamp<int64_t>(lines(grad_out) / kLinesOfPart, 1, kMostParts);
  const at::Tensor sums = at::empty({parts, c.taps(), image.size(1)}, options);
  Launch(rows_weight_family, dtype_of(sums))
      .out(sums)
      .in(as_rows(grad_out))
      .in(image)
      .ints(window_of(c, false))
      .run(parts, grain_for(grad_out.numel() / parts * c.taps()));
  return sums.transpose(1, 2);
}

// Sums [parts, channels, taps].
at::Tensor planes_weight(const at::Tensor& grad_out, const at::Tensor& image, const Conv& c,
                         const Block& b, const at::TensorOptions& options) {
  constexpr int64_t kItems = 16;
  const int64_t channels = image.size(1), taps = c.taps();
  const int64_t parts = std::min(image.size(0), (kItems + channels - 1) / channels);
  const int64_t most = std::max<int64_t>(kMostSums / (taps * kPlaneRoom), 1);
  const int64_t each = std::clamp<int64_t>(channels / kItems, 1, most);
  const at::Tensor sums = at::empty({parts, channels, taps}, options);
  Launch(planes_weight_family, dtype_of(sums))
      .out(sums)
      .in(as_planes(grad_out))
      .in(as_planes(image))
      .ints(window_of(c, false))
      .ints({b.rows, b.columns, each})
      .run(parts * ((channels + each - 1) / each),
           grain_for(grad_out.numel() / parts / channels * each * taps / 16));
  return sums;
}

}  // namespace

bool depthwise(const at::Tensor& out, const at::Tensor& image, const at::Tensor& weight,
               const at::Tensor& given, const Conv& c, bool transposed) {
  if (!is_depthwise(c, image, out)) return false;
  const at::ScalarType type = stat_type(weight);
  const bool rows = by_rows(c, out);
  const Block b =
      block_of(c, transposed, out, transposed ? c.stride[2] : 1, false, at::elementSize(type));
  if (!rows && b.bytes > kScratchBytes) return false;
  const at::Tensor w = weight.reshape({weight.size(0), -1}).to(type);
  const at::Tensor bias = given.defined() ? given.to(type).contiguous() : given;
  if (rows) {
    over_rows(out, image, w, bias, c, transposed);
    return true;
  }
  const int64_t blocks = blocks_of(b, out);
  Launch(planes_family, dtype_of(w))
      .out(out)
      .in(as_planes(image))
      .in(w.contiguous())
      .in(bias)
      .ints(window_of(c, transposed))
      .ints({b.rows, b.columns})
      .run(out.size(0) * out.size(1) * blocks, grain_for(b.rows * b.columns * c.taps() / 16));
  return true;
}

bool depthwise_weight(const at::Tensor& grad_weight, const at::Tensor& grad_out,
                      const at::Tensor& image, const Conv& c) {
  if (!is_depthwise(c, image, grad_out)) return false;
  const at::TensorOptions options =
      image.options().dtype(stat_type(image)).memory_format(std::nullopt);
  const Block b = block_of(c, false, grad_out, kPlaneRoom, true, options.dtype().itemsize());
  const bool rows = by_rows(c, image);
  if (!rows && b.bytes > kScratchBytes) return false;
  const at::Tensor sums = rows ? rows_weight(grad_out, image, c, options)
                               : planes_weight(grad_out, image, c, b, options);
  const at::Tensor sum = sums.size(0) == 1 ? sums.select(0, 0) : at::sum(sums, {0});
  at::Tensor(grad_weight).copy_(sum.reshape(grad_weight.sizes()));
  return true;
}

}  // namespace trn::ops
