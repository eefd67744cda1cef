// What Winograd's algorithm is made of: the transformations of patches, taps and sums.
// Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2016.
//
// Patches and taps are seen as polynomials and multiplied by their values at 0, +-p, +-q and
// infinity. The points decide the rounding: with 5/8 and 3/2, exact in binary, its error is one to
// three times that of the sum over taps, with the customary 1 and 2 ten times.
#pragma once

#include "tile.h"
#include "winograd_geometry.h"

namespace trn {
namespace {

constexpr float kP = 0.625f, kQ = 1.5f, kP2 = kP * kP, kQ2 = kQ * kQ;
// One over the products of a point's distances from the others.
constexpr float kAtZero = 1 / (kP2 * kQ2), kAtP = 1 / (2 * kP2 * (kP2 - kQ2)),
                kAtQ = 1 / (2 * kQ2 * (kQ2 - kP2));

constexpr float power(float x, int n) { return n ? x * power(x, n - 1) : 1; }

// The sums over j = first, first + 2, ... < n of x[j] times factor * point^j.
template <int first, int n>
TRN_INLINE Floats every_other(const Floats (&x)[n], float factor, float point) {
  Floats sum = factor * power(point, first) * x[first];
#pragma GCC unroll 4
  for (int j = first + 2; j < n; j += 2) sum += factor * power(point, j) * x[j];
  return sum;
}

// Values of the polynomial with n coefficients at the six points; kOver: over the products of
// distances, which the transformation of patches leaves out.
template <bool kOver>
struct Values {
  template <int n, int>
  static TRN_INLINE void along(const Floats (&x)[n], Floats (&u)[6]) {
    constexpr float p = kOver ? kAtP : 1, q = kOver ? kAtQ : 1;
    const Floats even_p = every_other<0>(x, p, kP), odd_p = every_other<1>(x, p, kP);
    const Floats even_q = every_other<0>(x, q, kQ), odd_q = every_other<1>(x, q, kQ);
    u[0] = kOver ? kAtZero * x[0] : x[0];
    u[1] = even_p + odd_p, u[2] = even_p - odd_p;
    u[3] = even_q + odd_q, u[4] = even_q - odd_q;
    u[5] = x[n - 1];
  }
};

// The transpose of Values: results from sums, taps from the sums of gradients.
template <bool kOver>
struct Sums {
  template <int, int n>
  static TRN_INLINE void along(const Floats (&u)[6], Floats (&x)[n]) {
    constexpr float p = kOver ? kAtP : 1, q = kOver ? kAtQ : 1;
    const Floats even_p = u[1] + u[2], odd_p = u[1] - u[2];
    const Floats even_q = u[3] + u[4], odd_q = u[3] - u[4];
#pragma GCC unroll 6
    for (int j = 0; j < n; ++j)
      x[j] =
          p * power(kP, j) * (j % 2 ? odd_p : even_p) + q * power(kQ, j) * (j % 2 ? odd_q : even_q);
    x[0] += kOver ? kAtZero * u[0] : u[0];
    x[n - 1] += u[5];
  }
};

struct Patch {
  template <int, int>
  static TRN_INLINE void along(const Floats (&d)[6], Floats (&v)[6]) {
    const Floats even_p = d[4] - kQ2 * d[2], odd_p = kP * (d[3] - kQ2 * d[1]);
    const Floats even_q = d[4] - kP2 * d[2], odd_q = kQ * (d[3] - kP2 * d[1]);
    v[0] = kP2 * kQ2 * d[0] - (kP2 + kQ2) * d[2] + d[4];
    v[1] = even_p + odd_p, v[2] = even_p - odd_p;
    v[3] = even_q + odd_q, v[4] = even_q - odd_q;
    v[5] = kP2 * kQ2 * d[1] - (kP2 + kQ2) * d[3] + d[5];
  }
};

// to(i, j, ..) = the transformation along both axes of from(i, j), kDown x kAcross; along y of a
// single number nothing is to be done.
template <class T, int kDown, int kAcross, int kToDown, int kToAcross, class From, class To>
TRN_INLINE void transform(From from, To to) {
  Floats half[kToDown][kAcross];
#pragma GCC unroll 6
  for (int j = 0; j < kAcross; ++j) {
    Floats in[kDown], out[kToDown];
#pragma GCC unroll 6
    for (int i = 0; i < kDown; ++i) in[i] = from(i, j);
    if constexpr (kDown == 1) out[0] = in[0];
    else T::template along<kDown, kToDown>(in, out);
#pragma GCC unroll 6
    for (int i = 0; i < kToDown; ++i) half[i][j] = out[i];
  }
#pragma GCC unroll 6
  for (int i = 0; i < kToDown; ++i) {
    Floats out[kToAcross];
    T::template along<kAcross, kToAcross>(half[i], out);
#pragma GCC unroll 6
    for (int j = 0; j < kToAcross; ++j) to(i, j, out[j]);
  }
}

// Calls f.operator()<down, across>() with the sides of tiles as constants.
template <class F>
TRN_INLINE void by_sides(const int64_t* side, F f) {
  switch (side[1] + (side[0] == 1 ? 8 : 0)) {
    case 2: return f.template operator()<2, 2>();
    case 3: return f.template operator()<3, 3>();
    case 4: return f.template operator()<4, 4>();
    case 5: return f.template operator()<5, 5>();
    case 10: return f.template operator()<1, 2>();
    case 11: return f.template operator()<1, 3>();
    case 12: return f.template operator()<1, 4>();
    case 13: return f.template operator()<1, 5>();
  }
}
// How many taps there are along an axis whose tiles have that side.
TRN_INLINE constexpr int taps_of(int side) { return side == 1 ? 1 : kPatchSide + 1 - side; }
TRN_INLINE constexpr int patch_of(int side) { return side == 1 ? 1 : kPatchSide; }

// A matrix a point, of rows of tiles.
struct Points {
  Word* data;
  int64_t row, step;
  Points() = default;
  Points(Word* memory, int64_t tiles, int64_t floats)
      : data(memory), row(floats), step(point_step(tiles * floats)) {}
  TRN_INLINE Word* at(int64_t point, int64_t tile) const {
    return data + point * step + tile * row;
  }
};

// Tiles of the same plane of a batch of images in order: those of a row beside each other, then
// rows, then images.
struct Tiles {
  int64_t down, across, each, most;
  explicit Tiles(const WinogradShape& s)
      : down(s.down()), across(s.across()), each(down * across), most(kRunWidth / s.side[1]) {}

  // f(image, row, column of the first, how many, where the first is in the range) for the runs
  // of tiles beside each other in tiles [begin, end).
  template <class F>
  TRN_INLINE void for_runs(int64_t begin, int64_t end, F f) const {
    for (int64_t t = begin; t < end;) {
      const int64_t at = t % each, first = at % across;
      int64_t many = across - first < end - t ? across - first : end - t;
      if (many > most) many = most;
      f(t / each, at / across, first, many, t - begin);
      t += many;
    }
  }
};

TRN_INLINE const WinogradShape& shape_of(const Call& call) {
  return *reinterpret_cast<const WinogradShape*>(call.ints);
}

}  // namespace
}  // namespace trn
