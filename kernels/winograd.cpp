// 3x3 convolutions of stride 1 by Winograd's F(4x4, 3x3): a quarter of the products.
#include "winograd.h"

namespace trn {
namespace {

// operands: transformed [36, strips of 32 outputs, ci, 32], points apart by point_step; weight [co, ci, 9] with dense taps.
// ints: 1 where the taps are reversed. Items are (strip, input channel).
void winograd_weights(const Call& call, const Range& range) {
  const Operand &out = call.operand[0], &weight = call.operand[1];
  const int64_t co = weight.sizes[0], ci = weight.sizes[1], size = co * ci * 9;
  const bool reversed = call.ints[0];
  alignas(64) Word taps[(9 + kLanes) * kLanes];
  for (int64_t item = range.begin; item < range.end; ++item) {
    const int64_t strip = item / ci, c = item % ci;
    for (int64_t lane = 0; lane < kStripColumns; lane += kLanes) {
      const int64_t o = strip * kStripColumns + lane, many = co - o < kLanes ? co - o : kLanes;
      const int64_t at = o * weight.strides[0] + c * weight.strides[1];
      const Word* from = weight.as<Word>() + at;
      // Whole vectors of nine taps reach into what follows them.
      if (many == kLanes && at + (kLanes - 1) * weight.strides[0] + 16 <= size)
        transpose<false>(from, weight.strides[0], taps, kLanes, kLanes, 9, 1);
      else
        for (int64_t t = 0; t < 9 * kLanes; ++t) {
          const int64_t row = t % kLanes;
          taps[t] = row < many ? from[row * weight.strides[0] + t / kLanes] : 0.f;
        }
      Word* to = out.as<Word>() + item * kStripColumns + lane;
      const int64_t step = out.strides[0];
      transform<3, 6, transform_taps>(
          [&](int i, int j) {
            const int tap = i * 3 + j;
            return load(taps + (reversed ? 8 - tap : tap) * kLanes);
          },
          [&](int i, int j, Floats u) { store(to + (i * kPatchSide + j) * step, u); });
    }
  }
}

// The sums of all points over an item's tiles: patches times weights [36, strips, ci, 32].
TRN_INLINE void multiply_points(const Points& patches, const Operand& weights, int64_t ci,
                                int64_t tiles, const Points& sums) {
  for (int64_t k = 0; k < kPoints; ++k)
    for (int64_t j = 0; j < sums.row; j += kStripColumns)
      multiply<FloatWords, false>(patches.at(k, 0), patches.row,
                                  weights.as<Word>() + k * weights.strides[0] + j * ci,
                                  kStripColumns, sums.at(k, 0) + j, sums.row, tiles,
                                  kStripColumns, false,
                                  [&](int64_t, int64_t) { return Extent{0, ci}; });
}

// Results of tiles [begin, end) from their sums, with the bias, to where they belong.
template <class S>
void transform_results(const Operand& out, const Operand& bias, const Tiles& tiles, int64_t begin,
                       int64_t end, const Points& sums, Word* lines) {
  for (int64_t c0 = 0; c0 < out.sizes[1]; c0 += kLanes) {
    Floats offset{};
    if (!bias.absent())
      for (int64_t c = 0; c < lanes_from(c0, out.sizes[1]); ++c)
        offset[c] = bias.as<float>()[c0 + c];
    tiles.for_runs(begin, end, [&](int64_t n, int64_t y, int64_t x, int64_t many, int64_t at) {
      const int64_t width = kTileSide * many;
      for (int64_t t = 0; t < many; ++t)
        transform<6, 4, transform_sums>(
            [&](int i, int j) {
              return load(sums.at(i * kPatchSide + j, at + t) + c0);
            },
            [&](int i, int j, Floats v) {
              store(lines + (i * width + t * kTileSide + j) * kLanes, v + offset);
            });
      write_lines<S>(out, n, y * kTileSide, x * kTileSide, width, c0, lines);
    });
  }
}

// operands: out [n, co, h, w]; transformed weights; image [n, ci, h, w]; bias [co] or absent. Both
// images have dense channels or dense lines. ints: padding[2], tiles of an item. Items are runs of
// that many tiles.
template <class S>
void winograd(const Call& call, const Range& range) {
  const Operand &out = call.operand[0], &image = call.operand[2];
  const Tiles tiles(out);
  const int64_t block = call.ints[2], ci = image.sizes[1], all = out.sizes[0] * tiles.each;
  Word* lines = reinterpret_cast<Word*>(range.scratch);
  const Points patches(lines + kLineFloats, block, patch_row(ci));
  const Points sums(patches.data + kPoints * patches.step, block,
                    strips_of(out.sizes[1]) * kStripColumns);
  for (int64_t item = range.begin; item < range.end; ++item) {
    const int64_t begin = item * block, end = all - begin < block ? all : begin + block;
    transform_patches<S>(image, tiles, call.ints, begin, end, lines, patches);
    multiply_points(patches, call.operand[1], ci, end - begin, sums);
    transform_results<S>(out, call.operand[3], tiles, begin, end, sums, lines);
  }
}

TRN_REGISTER("winograd_weights", DType::f32, winograd_weights);
TRN_REGISTER("winograd", DType::f32, winograd<float>);
TRN_REGISTER("winograd", DType::bf16, winograd<bf16_t>);
TRN_REGISTER("winograd", DType::f16, winograd<f16_t>);

}  // namespace
}  // namespace trn
