// The weight's gradient of a 3x3 convolution of stride 1 by the transposed algorithm: a product
// over tiles for each of the 36 points.
#include "winograd.h"

namespace trn {
namespace {

// The transformed gradients of tiles [begin, end), as transform_patches lays them out.
template <class S>
void transform_gradients(const Operand& grad, const Tiles& tiles, int64_t begin, int64_t end,
                         Word* lines, const Points& to) {
  for (int64_t c0 = 0; c0 < grad.sizes[1]; c0 += kLanes)
    tiles.for_runs(begin, end, [&](int64_t n, int64_t y, int64_t x, int64_t many, int64_t at) {
      const int64_t width = kTileSide * many;
      read_lines<S>(grad, n, y * kTileSide, x * kTileSide, kTileSide, width, c0, lines);
      for (int64_t t = 0; t < many; ++t)
        transform<4, 6, transform_gradient>(
            [&](int i, int j) { return load(lines + (i * width + t * kTileSide + j) * kLanes); },
            [&](int i, int j, Floats v) { store(to.at(i * kPatchSide + j, at + t) + c0, v); });
    });
}

// The matrices [36, tiles, channels] of an operand from a tile on.
TRN_INLINE Points points_of(const Operand& o, int64_t tile) {
  Points p(o.as<Word>(), 0, o.strides[1]);
  p.step = o.strides[0];
  p.data += tile * p.row;
  return p;
}

// operands: transformed patches [36, tiles, patch_row(ci)] and gradients [36, tiles,
// patch_row(co)], points apart by point_step; image [n, ci, h, w] and results' gradient [n, co, h, w], channels or lines
// dense. ints: padding[2]; the first tile, and how many. Items are kMostTiles of them.
template <class S>
void winograd_points(const Call& call, const Range& range) {
  const Operand &patches = call.operand[0], &grads = call.operand[1], &grad = call.operand[3];
  const Tiles tiles(grad);
  const int64_t first = call.ints[2], last = first + call.ints[3];
  Word* lines = reinterpret_cast<Word*>(range.scratch);
  for (int64_t item = range.begin; item < range.end; ++item) {
    const int64_t at = item * kMostTiles, begin = first + at;
    const int64_t end = last - begin < kMostTiles ? last : begin + kMostTiles;
    transform_patches<S>(call.operand[2], tiles, call.ints, begin, end, lines,
                         points_of(patches, at));
    transform_gradients<S>(grad, tiles, begin, end, lines, points_of(grads, at));
  }
}

// operands: sums [36, ci, strips of 32 outputs]; patches and gradients as above. ints: tiles; 1
// where it is added to the sums. Items are (point, strip).
void winograd_products(const Call& call, const Range& range) {
  const Operand &sums = call.operand[0], &patches = call.operand[1], &grads = call.operand[2];
  const int64_t ci = sums.sizes[1], strips = sums.sizes[2] / kStripColumns, tiles = call.ints[0];
  // A strip of gradients stays in the first-level cache while all channels of the image pass by.
  constexpr int64_t kDepthOfStrip = 192;
  Word* sum = reinterpret_cast<Word*>(range.scratch);
  for (int64_t item = range.begin; item < range.end; ++item) {
    const int64_t k = item / strips, column = item % strips * kStripColumns;
    const Word* left = patches.as<Word>() + k * patches.strides[0];
    const Word* right = grads.as<Word>() + k * grads.strides[0] + column;
    for (int64_t t = 0; t < tiles; t += kDepthOfStrip) {
      const int64_t depth = tiles - t < kDepthOfStrip ? tiles - t : kDepthOfStrip;
      multiply<FloatWords, true>(left + t * patches.strides[1], patches.strides[1],
                                 right + t * grads.strides[1], grads.strides[1], sum,
                                 kStripColumns, ci, kStripColumns, t > 0,
                                 [&](int64_t, int64_t) { return Extent{0, depth}; });
    }
    for (int64_t i = 0; i < ci; ++i)
      for (int64_t j = 0; j < kStripColumns; j += kLanes) {
        Word* to = sums.as<Word>() + k * sums.strides[0] + i * sums.strides[1] + column + j;
        const Floats x = load(sum + i * kStripColumns + j);
        store(to, call.ints[1] ? load(to) + x : x);
      }
  }
}

// operands: gradient [co, ci, 9] dense; sums as above. Items are (strip, input channel).
void winograd_taps(const Call& call, const Range& range) {
  const Operand &out = call.operand[0], &sums = call.operand[1];
  const int64_t co = out.sizes[0], ci = out.sizes[1];
  alignas(64) Word taps[9 * kLanes];
  for (int64_t item = range.begin; item < range.end; ++item) {
    const int64_t column = item / ci * kStripColumns, c = item % ci;
    for (int64_t o = column; o < column + kStripColumns && o < co; o += kLanes) {
      const Word* from = sums.as<Word>() + c * sums.strides[1] + o;
      transform<6, 3, gather_taps>(
          [&](int i, int j) { return load(from + (i * kPatchSide + j) * sums.strides[0]); },
          [&](int i, int j, Floats g) { store(taps + (i * 3 + j) * kLanes, g); });
      Word* to = out.as<Word>() + o * out.strides[0] + c * out.strides[1];
      for (int64_t t = 0; t < 9; ++t)
        for (int64_t lane = 0; lane < lanes_from(o, co); ++lane)
          to[lane * out.strides[0] + t] = taps[t * kLanes + lane];
    }
  }
}

TRN_REGISTER("winograd_points", DType::f32, winograd_points<float>);
TRN_REGISTER("winograd_points", DType::bf16, winograd_points<bf16_t>);
TRN_REGISTER("winograd_points", DType::f16, winograd_points<f16_t>);
TRN_REGISTER("winograd_products", DType::f32, winograd_products);
TRN_REGISTER("winograd_taps", DType::f32, winograd_taps);

}  // namespace
}  // namespace trn
