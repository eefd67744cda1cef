// The choice between Winograd's algorithm and sums over taps.
#include "ops/winograd_shape.h"

#include "matmul_tiles.h"

namespace trn::ops {
namespace {

const Family conv_direct("conv_direct");

int64_t over(int64_t n, int64_t unit) { return (n + unit - 1) / unit; }

// Whether an axis of that many taps a phase has tiles: 2 to 5 taps have.
bool has_tiles(int64_t taps) { return taps >= 2 && taps < kPatchSide; }

bool applies(const Conv& c, const at::Tensor& image, Winograd& w) {
  if (c.groups != 1 || stat_type(image) != at::kFloat) return false;
  for (int d = 0; d < 3; ++d)
    if (c.kernel[d] > 1 && c.dilation[d] != 1) return false;
  const bool line = c.kernel[1] == 1 && c.stride[1] == 1;
  for (int d = 0; d < 2; ++d) w.taps[d] = over(c.kernel[1 + d], c.stride[1 + d]);
  return c.stride[0] == 1 && c.kernel[0] <= kMostDepth && has_tiles(w.taps[1]) &&
         (line || w.taps[0] == w.taps[1]);
}

// Results along an axis (of the transpose: of each phase), and where they read and are written.
void lay_out(const Conv& c, bool transposed, Winograd& w) {
  WinogradShape& s = w.shape;
  s.depth = c.kernel[0];
  s.padding[0] = transposed ? c.kernel[0] - 1 - c.padding[0] : c.padding[0];
  for (int d = 0; d < 2; ++d) {
    const int64_t stride = c.stride[1 + d], padding = c.padding[1 + d];
    s.side[d] = w.taps[d] == 1 ? 1 : kPatchSide + 1 - w.taps[d];
    if (transposed) {  // result p + i is stride * u + phase: u from the first on that has results
      const int64_t first = padding / stride, last = (padding + c.in[1 + d] - 1) / stride;
      s.grid[d] = last - first + 1, s.padding[1 + d] = w.taps[d] - 1 - first;
      s.stride[d] = stride, s.shift[d] = first * stride - padding;
    } else {  // the phases of an image that is padded already
      s.grid[d] = c.out[1 + d], s.padding[1 + d] = stride == 1 ? padding : 0;
      s.stride[d] = 1, s.shift[d] = 0;
    }
  }
}

// Costs are counted in products of numbers. Transforming a number of a patch or of a sum takes
// about as long as kTransform of them, a weight kWeight; pairs of bfloat16 are multiplied at once.
// Of fewer than kWorth products in all too little is saved to give up digits for it.
bool is_faster(const Conv& c, const at::Tensor& image, const at::Tensor& results, int64_t ci,
               int64_t co, const WinogradShape& s) {
  constexpr double kTransform = 6, kWeight = 4, kGain = 0.8, kWorth = 1 << 19;
  const double points = s.points(), planes = results.size(2), products = s.depth * ci * co;
  const double tiles = static_cast<double>(results.size(0) * s.down() * s.across()) * planes;
  const double fewer =
      tiles * points * (products + kTransform * (ci + co)) + kWeight * points * products;
  const at::Tensor& taken = s.stride[0] * s.stride[1] > 1 ? image : results;
  const double positions = static_cast<double>(taken.numel() / taken.size(1));
  const bool pairs = image.scalar_type() == at::kBFloat16 && conv_direct[DType::bf16];
  const double taps = static_cast<double>(c.taps() * image.size(1) * results.size(1));
  return positions * taps >= kWorth && fewer < kGain * positions * taps / (pairs ? 2 : 1);
}

}  // namespace

Winograd plan_winograd(const Conv& c, const at::Tensor& image, const at::Tensor& results,
                       bool transposed) {
  Winograd w;
  if (!applies(c, image, w)) return w;
  lay_out(c, transposed, w);
  const WinogradShape& s = w.shape;
  const int64_t phases = c.stride[1] * c.stride[2];
  // Phases of results begin with whole vectors of columns.
  w.columns = s.stride[0] * s.stride[1] == 1 ? results.size(1) : over(results.size(1), 16) * 16;
  const int64_t ci = image.size(1) * (transposed ? 1 : phases);
  const int64_t co = transposed ? w.columns * phases : results.size(1);
  w.pays = is_faster(c, image, results, ci, co, s) && tiles_of_item(s, ci, co, kMostTiles * 4) > 0;
  return w;
}

int64_t planes_of_item(int64_t planes, int64_t blocks) {
  constexpr int64_t kItems = 8, kFewest = 4;  // fewer transform too many planes twice
  int64_t deep = planes;
  while (deep > kFewest && blocks * over(planes, deep) < kItems) deep = over(deep, 2);
  return deep;
}

bool sums_stay(const WinogradShape& s, int64_t ci, int64_t co) {
  const int64_t sums = s.points() * s.depth * whole_tiles(ci) * strips_of(co) * kStripColumns;
  return sums * 4 <= caches().l2 * 3 / 4 && gradient_floats(s, ci, co) * 4 <= kScratchBytes;
}

}  // namespace trn::ops
