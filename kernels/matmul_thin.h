// Thin products: up to kThin rows of C. The larger factor is read once, as it lies; nothing of it
// is packed, since each of its elements is used only a few times.
//
// "Thin" are the rows of A, or the columns of B with the roles of m and n exchanged. The thin
// factor x is converted a strip of k at a time; y is the large factor.
#pragma once

#include "matmul_blocked.h"

namespace trn {
namespace {

template <class V, int step, int... lane>
TRN_INLINE V fold_lanes(V v, std::integer_sequence<int, lane...>) {
  v += __builtin_shufflevector(v, v, ((lane + step) % static_cast<int>(sizeof...(lane)))...);
  if constexpr (step > 1) return fold_lanes<V, step / 2>(v, std::integer_sequence<int, lane...>());
  return v;
}

// Dot products of the thin factor's rows, kept as Left, with columns of y.
template <class S, class A>
struct PlainDots {
  using Left = A;
  using V = typename Vec<A>::Type;
  static constexpr int kLanes = Vec<A>::kLanes;

  TRN_INLINE static V load(const S* p) {
    if constexpr (__is_same(S, A)) {
      return *reinterpret_cast<const V*>(p);
    } else {
      V v;
      for (int i = 0; i < kLanes; ++i) v[i] = static_cast<A>(p[i]);
      return v;
    }
  }
  TRN_INLINE static A total(V v) {
    return fold_lanes<V, kLanes / 2>(v, std::make_integer_sequence<int, kLanes>())[0];
  }

  // sums[i][j] += dot(left row i, y column j), rows x columns of them. Rows of left lie `row`
  // apart, of sums `most`.
  template <int rows, int columns>
  static void dots(const A* left, int64_t row, const S* y, int64_t column, int64_t depth, A* sums,
                   int64_t most) {
    V sum[rows][columns] = {};
    int64_t q = 0;
    for (; q + kLanes <= depth; q += kLanes) {
      V v[columns];
#pragma GCC unroll 4
      for (int j = 0; j < columns; ++j) {
        v[j] = load(y + j * column + q);
        __builtin_prefetch(y + (columns + j) * column + q, 0, 2);  // for the next columns
      }
#pragma GCC unroll 4
      for (int i = 0; i < rows; ++i) {
        const V x = *reinterpret_cast<const V*>(left + i * row + q);
#pragma GCC unroll 4
        for (int j = 0; j < columns; ++j) sum[i][j] += x * v[j];
      }
    }
#pragma GCC unroll 4
    for (int i = 0; i < rows; ++i)
#pragma GCC unroll 4
      for (int j = 0; j < columns; ++j) {
        A rest = 0;
        for (int64_t t = q; t < depth; ++t)
          rest += left[i * row + t] * static_cast<A>(y[j * column + t]);
        sums[i * most + j] += total(sum[i][j]) + rest;
      }
  }

  // Rows contiguous in y: sums[i][...] += left[i][q] * y[q][...] for `depth` of k, as many vectors
  // of columns. The first rows to pass fetch what lies `ahead` rows further, for the next run.
  template <int rows, int vectors, bool first>
  static void update(const A* left, int64_t row, const S* y, int64_t step, int64_t depth,
                     int64_t ahead, A* sums, int64_t most) {
    V sum[rows][vectors];
    for (int i = 0; i < rows; ++i)
      for (int v = 0; v < vectors; ++v)
        sum[i][v] = *reinterpret_cast<const V*>(sums + i * most + v * kLanes);
    for (int64_t q = 0; q < depth; ++q) {
      V x[vectors];
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) {
        x[v] = load(y + q * step + v * kLanes);
        if (first) __builtin_prefetch(y + (q + ahead) * step + v * kLanes, 0, 2);
      }
#pragma GCC unroll 4
      for (int i = 0; i < rows; ++i)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) sum[i][v] += x[v] * left[i * row + q];
    }
    for (int i = 0; i < rows; ++i)
      for (int v = 0; v < vectors; ++v)
        *reinterpret_cast<V*>(sums + i * most + v * kLanes) = sum[i][v];
  }
};

template <class S, class A, class Dots = PlainDots<S, A>>
struct Thin {
  using V = typename Vec<A>::Type;
  using L = typename Dots::Left;
  static constexpr int kLanes = Vec<A>::kLanes;
  static constexpr int64_t kStrip = 1024;        // of k: 16 rows of floats are 64 KiB
  static constexpr int64_t kMost = 1024;         // columns of an item at most
  static constexpr int64_t kPitch = kMost + 16;  // of rows of sums, in sets of the cache apart
  static constexpr int kGroup = 4;  // rows and columns (or vectors of them) computed together
  // Of k between two visits of the sums: where groups of rows take turns, the first level has to
  // keep a run of the large factor for them.
  static constexpr int64_t kRun = 8, kLongRun = 16;
  static_assert(sizeof(L) <= sizeof(A));

  TRN_INLINE static V load(const S* p) { return PlainDots<S, A>::load(p); }

  // Calls f.template operator()<rows>(first row) for groups of rows.
  template <class F>
  TRN_INLINE static void by_rows(int64_t rows, F f) {
    int64_t i = 0;
    for (; i + kGroup <= rows; i += kGroup) f.template operator()<kGroup>(i);
    if (rows - i == 3) f.template operator()<3>(i);
    if (rows - i == 2) f.template operator()<2>(i);
    if (rows - i == 1) f.template operator()<1>(i);
  }

  static void strip_of_dots(const L* left, const S* y, int64_t column, int64_t rows, int64_t n,
                            int64_t depth, A* sums) {
    int64_t j = 0;
    for (; j + kGroup <= n; j += kGroup)
      by_rows(rows, [&]<int r>(int64_t i) {
        Dots::template dots<r, kGroup>(left + i * kStrip, kStrip, y + j * column, column, depth,
                                       sums + i * kPitch + j, kPitch);
      });
    for (; j < n; ++j)
      by_rows(rows, [&]<int r>(int64_t i) {
        Dots::template dots<r, 1>(left + i * kStrip, kStrip, y + j * column, column, depth,
                                  sums + i * kPitch + j, kPitch);
      });
  }

  static void strip_of_updates(const L* left, const S* y, int64_t step, int64_t rows, int64_t n,
                               int64_t depth, A* sums) {
    constexpr int64_t kWide = kGroup * kLanes;
    const int64_t most = rows <= kGroup ? kRun : kLongRun;
    for (int64_t q = 0; q < depth; q += most) {
      const int64_t run = depth - q < most ? depth - q : most;
      const S* from = y + q * step;
      const auto update = [&]<int r, int vectors>(int64_t i, int64_t j) {
        const L* x = left + i * kStrip + q;
        A* to = sums + i * kPitch + j;
        if (i == 0)
          Dots::template update<r, vectors, true>(x, kStrip, from + j, step, run, most, to, kPitch);
        else
          Dots::template update<r, vectors, false>(x, kStrip, from + j, step, run, most, to,
                                                   kPitch);
      };
      int64_t j = 0;
      for (; j + kWide <= n; j += kWide)
        by_rows(rows, [&]<int r>(int64_t i) { update.template operator()<r, kGroup>(i, j); });
      for (; j + kLanes <= n; j += kLanes)
        by_rows(rows, [&]<int r>(int64_t i) { update.template operator()<r, 1>(i, j); });
      if (j < n) strip_of_scalars(left + q, from + j, step, 1, rows, n - j, run, sums + j);
    }
  }

  static void strip_of_scalars(const L* left, const S* y, int64_t step, int64_t column,
                               int64_t rows, int64_t n, int64_t depth, A* sums) {
    for (int64_t q = 0; q < depth; ++q)
      for (int64_t i = 0; i < rows; ++i)
        for (int64_t j = 0; j < n; ++j)
          sums[i * kPitch + j] +=
              static_cast<A>(left[i * kStrip + q]) * static_cast<A>(y[q * step + j * column]);
  }

  // Columns [j0, j0 + width) of the longer side.
  static void multiply(const Problem& p, int64_t j0, int64_t width, char* scratch) {
    const bool by_column = p.m > kThin;
    const Operand &x = by_column ? p.b : p.a, &y = by_column ? p.a : p.b;
    const int64_t rows = by_column ? p.n : p.m, all = by_column ? p.m : p.n;
    const int64_t xr = x.strides[by_column ? 2 : 1], xk = x.strides[by_column ? 1 : 2];
    const int64_t yk = y.strides[by_column ? 2 : 1], yc = y.strides[by_column ? 1 : 2];
    const int64_t n = all - j0 < width ? all - j0 : width;
    A* sums = reinterpret_cast<A*>(scratch);
    L* left = reinterpret_cast<L*>(sums + kThin * kPitch);
    A* buffer = reinterpret_cast<A*>(left + kThin * kStrip);
    __builtin_memset(sums, 0, rows * kPitch * sizeof(A));
    for (int64_t k0 = 0; k0 < p.k; k0 += kStrip) {
      const int64_t depth = p.k - k0 < kStrip ? p.k - k0 : kStrip;
      for (int64_t i = 0; i < rows; ++i)
        TRN_ISA_NAMESPACE::convert_run(left + i * kStrip, DTypeOf<L>::value, 1,
                                       x.as<S>() + i * xr + k0 * xk, x.dtype, xk, depth);
      const S* from = y.as<S>() + j0 * yc + k0 * yk;
      if (yk == 1) strip_of_dots(left, from, yc, rows, n, depth, sums);
      else if (yc == 1) strip_of_updates(left, from, yk, rows, n, depth, sums);
      else strip_of_scalars(left, from, yk, yc, rows, n, depth, sums);
    }
    for (int64_t i = 0; i < rows; ++i)
      write_row<A>(p, sums + i * kPitch, i, j0, n, by_column, buffer);
  }
};

// ints[1] is the width of an item, as thin_tiling() has it.
template <class S, class Dots = PlainDots<S, acc_t<S>>>
void multiply_thin(const Call& call, const Range& range) {
  const int64_t m = call.operand[0].sizes[1], n = call.operand[0].sizes[2];
  const int64_t width = call.ints[1], longer = m <= kThin ? n : m;
  const int64_t items = (longer + width - 1) / width;
  for (int64_t i = range.begin; i < range.end; ++i)
    Thin<S, acc_t<S>, Dots>::multiply(problem_of(call, i / items), i % items * width, width,
                                      range.scratch);
}

}  // namespace
}  // namespace trn
