// Gradients of weights by the transposed algorithm: a product over tiles for each of the points.
#include "winograd_lines.h"

namespace trn {
namespace {

// The matrices [points, tiles, channels] of an operand from a tile on.
TRN_INLINE Points points_of(const Operand& o, int64_t tile) {
  Points p(o.as<Word>(), 0, o.strides[1]);
  p.step = o.strides[0];
  p.data += tile * p.row;
  return p;
}

// operands: transformed patches [points, tiles, patch_row(ci)] and gradients [points, tiles,
// patch_row(co)], points apart by point_step; image [n, channels, 1, h, w, segments] and results'
// gradient [n, co, 1, h, w, 1], channels or lines dense. ints: the shape; the first tile, and how
// many. Items are kMostTiles of them.
template <class S>
void winograd_points(const Call& call, const Range& range) {
  const WinogradShape& shape = shape_of(call);
  const int64_t first = call.ints[kShapeInts], last = first + call.ints[kShapeInts + 1];
  Word* lines = reinterpret_cast<Word*>(range.scratch);
  for (int64_t item = range.begin; item < range.end; ++item) {
    const int64_t at = item * kMostTiles, begin = first + at;
    const int64_t end = last - begin < kMostTiles ? last : begin + kMostTiles;
    transform_patches<S>(call.operand[2], shape, 0, begin, end, lines,
                         points_of(call.operand[0], at));
    transform_gradients<S>(call.operand[3], shape, 0, begin, end, lines,
                           points_of(call.operand[1], at));
  }
}

// operands: sums [points, rows, strips of 32 outputs], with rows of whole register tiles; patches
// and gradients as above. ints: input channels; tiles; 1 where it is added to the sums. Items are
// (point, strip).
void winograd_products(const Call& call, const Range& range) {
  const Operand &sums = call.operand[0], &patches = call.operand[1], &grads = call.operand[2];
  const int64_t strips = sums.sizes[2] / kStripColumns, ci = call.ints[0], tiles = call.ints[1];
  // A strip of gradients stays in the first-level cache while all channels of the image pass by.
  constexpr int64_t kDepthOfStrip = 192;
  for (int64_t item = range.begin; item < range.end; ++item) {
    const int64_t k = item / strips, column = item % strips * kStripColumns;
    const Word* left = patches.as<Word>() + k * patches.strides[0];
    const Word* right = grads.as<Word>() + k * grads.strides[0] + column;
    for (int64_t t = 0; t < tiles; t += kDepthOfStrip) {
      const int64_t depth = tiles - t < kDepthOfStrip ? tiles - t : kDepthOfStrip;
      multiply<FloatWords, true>(
          left + t * patches.strides[1], patches.strides[1], right + t * grads.strides[1],
          grads.strides[1], sums.as<Word>() + k * sums.strides[0] + column, sums.strides[1], ci,
          kStripColumns, t > 0 || call.ints[2], [&](int64_t, int64_t) { return Extent{0, depth}; });
    }
  }
}

// All of it where the sums are few, so that they stay in the second level: a block of tiles is
// transformed and its products are added to them.
// operands: sums [chunks, points, depth, rows, strips of 32 outputs] dense, with rows for whole
// register tiles; image and gradient as above, of any planes. ints: the shape; tiles of a chunk.
// Items are chunks.
template <class S>
void winograd_gradient(const Call& call, const Range& range) {
  const Operand &sums = call.operand[0], &image = call.operand[1], &grad = call.operand[2];
  const WinogradShape& shape = shape_of(call);
  const int64_t many = call.ints[kShapeInts], all = grad.sizes[0] * shape.down() * shape.across();
  const int64_t ci = image.sizes[1] * image.sizes[5], *step = sums.strides;
  Word* lines = reinterpret_cast<Word*>(range.scratch);
  for (int64_t chunk = range.begin; chunk < range.end; ++chunk) {
    Word* sum = sums.as<Word>() + chunk * step[0];
    for (int64_t i = 0; i < step[0]; i += kLanes) store(sum + i, Floats{});
    const int64_t last = all - chunk * many < many ? all : (chunk + 1) * many;
    for (int64_t begin = chunk * many; begin < last; begin += kGradientTiles) {
      const int64_t end = last - begin < kGradientTiles ? last : begin + kGradientTiles;
      Planes<S> planes(image, shape, kGradientTiles, lines + kLineFloats);
      const Points grads(planes.end(), kGradientTiles, patch_row(grad.sizes[1]));
      for (int64_t z = 0; z < grad.sizes[2]; ++z) {
        transform_gradients<S>(grad, shape, z, begin, end, lines, grads);
        for (int64_t d = 0; d < shape.depth; ++d) {
          const Points* patches = planes.at(z, d, begin, end, lines);
          for (int64_t k = 0; patches && k < shape.points(); ++k)
            multiply<FloatWords, true>(patches->at(k, 0), patches->row, grads.at(k, 0), grads.row,
                                       sum + k * step[1] + d * step[2], step[3], ci, step[3], true,
                                       [&](int64_t, int64_t) { return Extent{0, end - begin}; });
        }
      }
    }
  }
}

// operands: gradient [co, ci, depth, taps, phases, taps, phases] (along y, then x) of any strides;
// sums [chunks, points, depth, inputs, strips of 32 outputs], added in order. ints: the shape.
// Items are (strip, tap along z, input).
void winograd_taps(const Call& call, const Range& range) {
  const Operand &out = call.operand[0], &sums = call.operand[1];
  const int64_t *s = out.strides, co = out.sizes[0], ci = out.sizes[1], depth = out.sizes[2];
  const int64_t across_phases = out.sizes[6], inputs = ci * out.sizes[4] * across_phases;
  by_sides(shape_of(call).side, [&]<int down, int across>() {
    constexpr int kTapsDown = taps_of(down), kTapsAcross = taps_of(across);
    alignas(64) Word taps[kTapsDown * kTapsAcross * kLanes];
    for (int64_t item = range.begin; item < range.end; ++item) {
      const int64_t column = item / inputs / depth * kStripColumns, z = item / inputs % depth;
      const int64_t i = item % inputs, phase = i / ci;
      for (int64_t o = column; o < column + kStripColumns && o < co; o += kLanes) {
        const Word* from = sums.as<Word>() + z * sums.strides[2] + i * sums.strides[3] + o;
        transform<Sums<true>, patch_of(down), kPatchSide, kTapsDown, kTapsAcross>(
            [&](int j, int k) {
              const Word* at = from + (j * kPatchSide + k) * sums.strides[1];
              Floats sum = load(at);
              for (int64_t chunk = 1; chunk < sums.sizes[0]; ++chunk)
                sum += load(at + chunk * sums.strides[0]);
              return sum;
            },
            [&](int j, int k, Floats g) { store(taps + (j * kTapsAcross + k) * kLanes, g); });
        Word* to = out.as<Word>() + o * s[0] + i % ci * s[1] + z * s[2] +
                   phase / across_phases * s[4] + phase % across_phases * s[6];
        for (int64_t lane = 0; lane < lanes_from(o, co); ++lane)
          for (int t = 0; t < kTapsDown * kTapsAcross; ++t)
            to[lane * s[0] + t / kTapsAcross * s[3] + t % kTapsAcross * s[5]] =
                taps[t * kLanes + lane];
      }
    }
  });
}

TRN_REGISTER("winograd_points", DType::f32, winograd_points<float>);
TRN_REGISTER("winograd_points", DType::bf16, winograd_points<bf16_t>);
TRN_REGISTER("winograd_points", DType::f16, winograd_points<f16_t>);
TRN_REGISTER("winograd_gradient", DType::f32, winograd_gradient<float>);
TRN_REGISTER("winograd_gradient", DType::bf16, winograd_gradient<bf16_t>);
TRN_REGISTER("winograd_gradient", DType::f16, winograd_gradient<f16_t>);
TRN_REGISTER("winograd_products", DType::f32, winograd_products);
TRN_REGISTER("winograd_taps", DType::f32, winograd_taps);

}  // namespace
}  // namespace trn
