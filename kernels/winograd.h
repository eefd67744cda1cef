// What Winograd's F(4x4, 3x3) is made of: the transformations, and reading and writing runs of tiles.
// Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2016.
//
// Patches and taps are seen as polynomials and multiplied by their values at 0, +-p, +-q and
// infinity. The points decide the rounding: with 5/8 and 3/2, exact in binary, its error is two to
// three times that of the sum over taps, with the customary 1 and 2 ten times.
#pragma once

#include "tile.h"
#include "winograd_geometry.h"

namespace trn {
namespace {

constexpr float kP = 0.625f, kQ = 1.5f, kP2 = kP * kP, kQ2 = kQ * kQ;
constexpr float kAtP = 1 / (2 * kP2 * (kP2 - kQ2)), kAtQ = 1 / (2 * kQ2 * (kQ2 - kP2));

// Values of the polynomial with the coefficients g at the six points, over the products of the
// points' distances (which the transformation of patches leaves out).
TRN_INLINE void transform_taps(const Floats (&g)[3], Floats (&u)[6]) {
  const Floats even_p = kAtP * g[0] + kAtP * kP2 * g[2], odd_p = kAtP * kP * g[1];
  const Floats even_q = kAtQ * g[0] + kAtQ * kQ2 * g[2], odd_q = kAtQ * kQ * g[1];
  u[0] = 1 / (kP2 * kQ2) * g[0];
  u[1] = even_p + odd_p, u[2] = even_p - odd_p;
  u[3] = even_q + odd_q, u[4] = even_q - odd_q;
  u[5] = g[2];
}

TRN_INLINE void transform_patch(const Floats (&d)[6], Floats (&v)[6]) {
  const Floats even_p = d[4] - kQ2 * d[2], odd_p = kP * (d[3] - kQ2 * d[1]);
  const Floats even_q = d[4] - kP2 * d[2], odd_q = kQ * (d[3] - kP2 * d[1]);
  v[0] = kP2 * kQ2 * d[0] - (kP2 + kQ2) * d[2] + d[4];
  v[1] = even_p + odd_p, v[2] = even_p - odd_p;
  v[3] = even_q + odd_q, v[4] = even_q - odd_q;
  v[5] = kP2 * kQ2 * d[1] - (kP2 + kQ2) * d[3] + d[5];
}

TRN_INLINE void transform_sums(const Floats (&m)[6], Floats (&y)[4]) {
  const Floats even_p = m[1] + m[2], odd_p = m[1] - m[2], even_q = m[3] + m[4],
               odd_q = m[3] - m[4];
  y[0] = m[0] + even_p + even_q;
  y[1] = kP * odd_p + kQ * odd_q;
  y[2] = kP2 * even_p + kQ2 * even_q;
  y[3] = kP2 * kP * odd_p + kQ2 * kQ * odd_q + m[5];
}

// The transposes of the last and of the first, for gradients of weights.
TRN_INLINE void transform_gradient(const Floats (&y)[4], Floats (&m)[6]) {
  const Floats even_p = y[0] + kP2 * y[2], odd_p = kP * (y[1] + kP2 * y[3]);
  const Floats even_q = y[0] + kQ2 * y[2], odd_q = kQ * (y[1] + kQ2 * y[3]);
  m[0] = y[0];
  m[1] = even_p + odd_p, m[2] = even_p - odd_p;
  m[3] = even_q + odd_q, m[4] = even_q - odd_q;
  m[5] = y[3];
}

TRN_INLINE void gather_taps(const Floats (&u)[6], Floats (&g)[3]) {
  const Floats sum_p = kAtP * (u[1] + u[2]), sum_q = kAtQ * (u[3] + u[4]);
  g[0] = 1 / (kP2 * kQ2) * u[0] + sum_p + sum_q;
  g[1] = kAtP * kP * (u[1] - u[2]) + kAtQ * kQ * (u[3] - u[4]);
  g[2] = kP2 * sum_p + kQ2 * sum_q + u[5];
}

// to[i][j] = the transformation along both dimensions of from(i, j).
template <int kFrom, int kTo, auto kTransform, class From, class To>
TRN_INLINE void transform(From from, To to) {
  Floats half[kTo][kFrom];
#pragma GCC unroll 6
  for (int j = 0; j < kFrom; ++j) {
    Floats in[kFrom], out[kTo];
#pragma GCC unroll 6
    for (int i = 0; i < kFrom; ++i) in[i] = from(i, j);
    kTransform(in, out);
#pragma GCC unroll 6
    for (int i = 0; i < kTo; ++i) half[i][j] = out[i];
  }
#pragma GCC unroll 6
  for (int i = 0; i < kTo; ++i) {
    Floats out[kTo];
    kTransform(half[i], out);
#pragma GCC unroll 6
    for (int j = 0; j < kTo; ++j) to(i, j, out[j]);
  }
}

// A matrix a point, of rows of tiles.
struct Points {
  Word* data;
  int64_t row, step;
  Points(Word* memory, int64_t tiles, int64_t floats)
      : data(memory), row(floats), step(point_step(tiles * floats)) {}
  TRN_INLINE Word* at(int64_t point, int64_t tile) const { return data + point * step + tile * row; }
};

// Tiles of a batch of images in order: those of a row beside each other, then rows, then images.
struct Tiles {
  int64_t down, across, each;
  explicit Tiles(const Operand& results)
      : down(tiles_along(results.sizes[2])), across(tiles_along(results.sizes[3])),
        each(down * across) {}

  // f(image, row, column of the first, how many, where the first is in the range) for the runs
  // of tiles beside each other in tiles [begin, end).
  template <class F>
  TRN_INLINE void for_runs(int64_t begin, int64_t end, F f) const {
    for (int64_t t = begin; t < end;) {
      const int64_t at = t % each, first = at % across;
      int64_t many = across - first < end - t ? across - first : end - t;
      if (many > kTileRun) many = kTileRun;
      f(t / each, at / across, first, many, t - begin);
      t += many;
    }
  }
};

TRN_INLINE int64_t lanes_from(int64_t first, int64_t all) {
  return all - first < kLanes ? all - first : kLanes;
}

// The first n numbers of a vector, in memory of type S.
template <class S>
TRN_INLINE Floats take(const S* from, int64_t n) {
  Floats x{};
  if (n == kLanes)
    for (int l = 0; l < kLanes; ++l) x[l] = from[l];
  else
    for (int64_t l = 0; l < n; ++l) x[l] = from[l];
  return x;
}
template <class S>
TRN_INLINE void put(S* to, Floats x, int64_t n) {
  if (n == kLanes)
    for (int l = 0; l < kLanes; ++l) to[l] = S(x[l]);
  else
    for (int64_t l = 0; l < n; ++l) to[l] = S(x[l]);
}

// `high` lines of `width` positions of an image [n, c, h, w] from (y, x) on, kLanes channels from
// c0 on beside each other; zero outside. Channels or lines are dense. Behind the lines a square of
// vectors is overwritten.
template <class S>
void read_lines(const Operand& image, int64_t n, int64_t y, int64_t x, int64_t high, int64_t width,
                int64_t c0, Word* lines) {
  const int64_t channels = lanes_from(c0, image.sizes[1]), first = x < 0 ? -x : 0;
  int64_t last = image.sizes[3] - x < width ? image.sizes[3] - x : width;
  if (last < first) last = first;
  alignas(64) Word square[kLanes * kLanes] = {};
  for (int64_t i = 0; i < high; ++i, ++y) {
    Word* line = lines + i * width * kLanes;
    const bool inside = y >= 0 && y < image.sizes[2];
    const int64_t begin = inside ? first : width, end = inside ? last : width;
    const S* from = image.as<S>() + n * image.strides[0] + c0 * image.strides[1] +
                    y * image.strides[2] + x * image.strides[3];
    for (int64_t j = 0; j < begin; ++j) store(line + j * kLanes, Floats{});
    if (image.strides[1] == 1)
      for (int64_t j = begin; j < end; ++j)
        store(line + j * kLanes, take(from + j * image.strides[3], channels));
    else
      for (int64_t j = begin; j < end; j += kLanes) {
        for (int64_t c = 0; c < channels; ++c)
          store(square + c * kLanes, take(from + c * image.strides[1] + j, lanes_from(j, end)));
        transpose<false>(square, kLanes, line + j * kLanes, kLanes, kLanes, kLanes, 1);
      }
    for (int64_t j = end; j < width; ++j) store(line + j * kLanes, Floats{});
  }
}

// The lines of a row of tiles to results [n, c, h, w]; what lies outside is dropped.
template <class S>
void write_lines(const Operand& out, int64_t n, int64_t y, int64_t x, int64_t width, int64_t c0,
                 const Word* lines) {
  const int64_t channels = lanes_from(c0, out.sizes[1]);
  const int64_t wanted = out.sizes[3] - x < width ? out.sizes[3] - x : width;
  alignas(64) Word square[kLanes * kLanes];
  for (int64_t i = 0; i < kTileSide && y + i < out.sizes[2]; ++i) {
    const Word* line = lines + i * width * kLanes;
    S* to = out.as<S>() + n * out.strides[0] + c0 * out.strides[1] + (y + i) * out.strides[2] +
            x * out.strides[3];
    if (out.strides[1] == 1)
      for (int64_t j = 0; j < wanted; ++j)
        put(to + j * out.strides[3], load(line + j * kLanes), channels);
    else
      for (int64_t j = 0; j < wanted; j += kLanes) {
        transpose<false>(line + j * kLanes, kLanes, square, kLanes, kLanes, kLanes, 1);
        for (int64_t c = 0; c < channels; ++c)
          put(to + c * out.strides[1] + j, load(square + c * kLanes), lanes_from(j, wanted));
      }
  }
}

// The transformed patches of tiles [begin, end) of an image, channels beside each other.
template <class S>
void transform_patches(const Operand& image, const Tiles& tiles, const int64_t* padding,
                       int64_t begin, int64_t end, Word* lines, const Points& to) {
  for (int64_t c0 = 0; c0 < image.sizes[1]; c0 += kLanes)
    tiles.for_runs(begin, end, [&](int64_t n, int64_t y, int64_t x, int64_t many, int64_t at) {
      const int64_t width = kTileSide * many + kPatchSide - kTileSide;
      read_lines<S>(image, n, y * kTileSide - padding[0], x * kTileSide - padding[1], kPatchSide,
                    width, c0, lines);
      for (int64_t t = 0; t < many; ++t)
        transform<6, 6, transform_patch>(
            [&](int i, int j) { return load(lines + (i * width + t * kTileSide + j) * kLanes); },
            [&](int i, int j, Floats v) { store(to.at(i * kPatchSide + j, at + t) + c0, v); });
    });
}

}  // namespace
}  // namespace trn
