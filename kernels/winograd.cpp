// Convolutions by Winograd's algorithm: with 3x3 taps a quarter of the products.
#include "winograd_lines.h"

namespace trn {
namespace {

// The taps of `many` of kLanes outputs beside each other, from `at` on in a weight whose dimensions
// 3 and 5 are taps along y and x.
template <int down, int across>
TRN_INLINE void gather_taps(const Operand& weight, int64_t at, int64_t many, int64_t size,
                            Word* to) {
  const int64_t step = weight.strides[0], line = weight.strides[3], next = weight.strides[5];
  const Word* from = weight.as<Word>() + at;
  constexpr int taps = down * across;
  const bool dense = next == 1 && (down == 1 || line == across);
  for (int t0 = 0; t0 < taps; t0 += kLanes) {
    const int end = taps - t0 < kLanes ? taps : t0 + kLanes;
    // Whole vectors of taps reach into what follows them.
    if (dense && many == kLanes && at + (kLanes - 1) * step + t0 + kLanes <= size)
      transpose<false>(from + t0, step, to + t0 * kLanes, kLanes, kLanes, kLanes, 1);
    else
      for (int t = t0; t < end; ++t)
        for (int64_t row = 0; row < kLanes; ++row)
          to[t * kLanes + row] =
              row < many ? from[row * step + t / across * line + t % across * next] : 0.f;
  }
}

// operands: transformed [points, strips of 32 outputs, depth, inputs, 32], points apart by
// point_step; weight [co, ci, depth, taps, phases, taps, phases] (along y, then x) of any strides.
// ints: the shape; 1 for the transpose, whose outputs have the phases and whose taps are reversed;
// columns of a phase. Items are (strip, tap along z, input).
void winograd_weights(const Call& call, const Range& range) {
  const Operand &out = call.operand[0], &weight = call.operand[1];
  const int64_t *s = weight.strides, co = weight.sizes[0], ci = weight.sizes[1];
  const int64_t depth = weight.sizes[2], across_phases = weight.sizes[6];
  const int64_t phases = weight.sizes[4] * across_phases, columns = call.ints[kShapeInts + 1];
  const bool transposed = call.ints[kShapeInts];
  const int64_t inputs = transposed ? ci : ci * phases;
  int64_t size = 1;
  for (int d = 0; d < weight.ndim; ++d) size += (weight.sizes[d] - 1) * s[d];
  by_sides(shape_of(call).side, [&]<int down, int across>() {
    constexpr int kTapsDown = taps_of(down), kTapsAcross = taps_of(across);
    constexpr int kTaps = kTapsDown * kTapsAcross;
    alignas(64) Word taps[(kTaps + kLanes) * kLanes];
    for (int64_t item = range.begin; item < range.end; ++item) {
      const int64_t strip = item / inputs / depth, z = item / inputs % depth, i = item % inputs;
      for (int64_t lane = 0; lane < kStripColumns; lane += kLanes) {
        const int64_t o = strip * kStripColumns + lane;
        int64_t phase = transposed ? o / columns : i / ci;
        if (phase >= phases) phase = phases - 1;  // the rest of the last strip
        const int64_t first = transposed ? o - phase * columns : o;
        const int64_t at = first * s[0] + (transposed ? i : i % ci) * s[1] +
                           (transposed ? depth - 1 - z : z) * s[2] + phase / across_phases * s[4] +
                           phase % across_phases * s[6];
        gather_taps<kTapsDown, kTapsAcross>(weight, at, lanes_from(first, co), size, taps);
        Word* to = out.as<Word>() + item * kStripColumns + lane;
        const int64_t step = out.strides[0];
        transform<Values<true>, kTapsDown, kTapsAcross, patch_of(down), kPatchSide>(
            [&](int j, int k) {
              const int tap = j * kTapsAcross + k;
              return load(taps + (transposed ? kTaps - 1 - tap : tap) * kLanes);
            },
            [&](int j, int k, Floats u) { store(to + (j * kPatchSide + k) * step, u); });
      }
    }
  });
}

// The sums of all points over an item's tiles: patches times weights [points, strips, depth, ci,
// 32] for the taps along z whose planes are there.
TRN_INLINE void multiply_points(const Points* const* planes, const WinogradShape& shape,
                                const Operand& weights, int64_t ci, int64_t tiles,
                                const Points& sums) {
  const int64_t depth = shape.depth;
  for (int64_t k = 0; k < shape.points(); ++k)
    for (int64_t j = 0; j < sums.row; j += kStripColumns) {
      const Word* b = weights.as<Word>() + k * weights.strides[0] + j * depth * ci;
      bool add = false;
      for (int64_t d = 0; d < depth; ++d) {
        if (!planes[d] && (add || d + 1 < depth)) continue;
        const int64_t many = planes[d] ? ci : 0;  // no plane at all: zeros
        const Points& patches = planes[d] ? *planes[d] : sums;
        multiply<FloatWords, false>(patches.at(k, 0), patches.row, b + d * ci * kStripColumns,
                                    kStripColumns, sums.at(k, 0) + j, sums.row, tiles,
                                    kStripColumns, add,
                                    [&](int64_t, int64_t) { return Extent{0, many}; });
        add = true;
      }
    }
}

// Results of tiles [begin, end) of a plane from their sums, with the bias, to where they belong.
// Channels of a phase are `each` columns apart from those of the next.
template <class S, int down, int across>
void transform_results(const Operand& out, const Operand& bias, const WinogradShape& shape,
                       int64_t each, int64_t z, int64_t begin, int64_t end, const Points& sums,
                       Word* lines) {
  const int64_t co = out.sizes[1], phases = shape.stride[0] * shape.stride[1];
  const Tiles tiles(shape);
  tiles.for_runs(begin, end, [&](int64_t n, int64_t y, int64_t x, int64_t many, int64_t at) {
    const int64_t width = across * many;
    for (int64_t phase = 0; phase < phases; ++phase)
      for (int64_t c0 = 0; c0 < co; c0 += kLanes) {
        Floats offset{};
        if (!bias.absent()) offset = take(bias.as<float>() + c0, lanes_from(c0, co));
        for (int64_t t = 0; t < many; ++t)
          transform<Sums<false>, patch_of(down), kPatchSide, down, across>(
              [&](int i, int j) {
                return load(sums.at(i * kPatchSide + j, at + t) + phase * each + c0);
              },
              [&](int i, int j, Floats v) {
                store(lines + (i * width + t * across + j) * kLanes, v + offset);
              });
        write_lines<S>(out, shape, phase, n, z, y * down, x * across, width, c0, lines);
      }
  });
}

// operands: out [n, co, d, h, w]; transformed weights; image [n, channels, d, h, w, segments]; bias
// [co] or absent. Both images have dense channels or dense lines. ints: the shape; tiles of an
// item, its planes of results; columns of weights of a phase. Items are (planes, tiles).
template <class S>
void winograd(const Call& call, const Range& range) {
  const Operand &out = call.operand[0], &image = call.operand[2];
  const WinogradShape& shape = shape_of(call);
  const int64_t block = call.ints[kShapeInts], deep = call.ints[kShapeInts + 1];
  const int64_t each = call.ints[kShapeInts + 2], ci = image.sizes[1] * image.sizes[5];
  const int64_t all = out.sizes[0] * shape.down() * shape.across();
  const int64_t blocks = (all + block - 1) / block;
  Word* lines = reinterpret_cast<Word*>(range.scratch);
  for (int64_t item = range.begin; item < range.end; ++item) {
    const int64_t begin = item % blocks * block, end = all - begin < block ? all : begin + block;
    const int64_t top = item / blocks * deep;
    const int64_t bottom = out.sizes[2] - top < deep ? out.sizes[2] : top + deep;
    Planes<S> planes(image, shape, block, lines + kLineFloats);
    const int64_t columns = strips_of(each * shape.stride[0] * shape.stride[1]) * kStripColumns;
    const Points sums(planes.end(), block, columns);
    for (int64_t z = top; z < bottom; ++z) {
      const Points* at[kMostDepth];
      for (int64_t d = 0; d < shape.depth; ++d) at[d] = planes.at(z, d, begin, end, lines);
      multiply_points(at, shape, call.operand[1], ci, end - begin, sums);
      by_sides(shape.side, [&]<int down, int across>() {
        transform_results<S, down, across>(out, call.operand[3], shape, each, z, begin, end, sums,
                                           lines);
      });
    }
  }
}

TRN_REGISTER("winograd_weights", DType::f32, winograd_weights);
TRN_REGISTER("winograd", DType::f32, winograd<float>);
TRN_REGISTER("winograd", DType::bf16, winograd<bf16_t>);
TRN_REGISTER("winograd", DType::f16, winograd<f16_t>);

}  // namespace
}  // namespace trn
