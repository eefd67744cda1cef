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
        __builtin_prefetch(y + (columns + j) * column + q);  // for the next columns
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
};

template <class S, class A, class Dots = PlainDots<S, A>>
struct Thin {
  using V = typename Vec<A>::Type;
  using L = typename Dots::Left;
  static constexpr int kLanes = Vec<A>::kLanes;
  static constexpr int64_t kStrip = 1024;  // of k: 16 rows of floats are 64 KiB
  static constexpr int64_t kMost = 512;    // columns of an item at most
  static constexpr int kGroup = 4;     // rows and columns (or vectors of them) computed together
  static constexpr int64_t kRun = 16;  // of k between two visits of the sums
  static_assert(sizeof(L) <= sizeof(A));

  TRN_INLINE static V load(const S* p) { return PlainDots<S, A>::load(p); }

  // Columns contiguous in y: sums[i][...] += left[i][q] * y[q][...] for `depth` of k.
  template <int rows, int vectors>
  static void rank_update(const A* left, const S* y, int64_t step, int64_t depth, A* sums) {
    V sum[rows][vectors];
    for (int i = 0; i < rows; ++i)
      for (int v = 0; v < vectors; ++v)
        sum[i][v] = *reinterpret_cast<const V*>(sums + i * kMost + v * kLanes);
    for (int64_t q = 0; q < depth; ++q) {
      V row[vectors];
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) row[v] = load(y + q * step + v * kLanes);
#pragma GCC unroll 4
      for (int i = 0; i < rows; ++i)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) sum[i][v] += row[v] * left[i * kStrip + q];
    }
    for (int i = 0; i < rows; ++i)
      for (int v = 0; v < vectors; ++v)
        *reinterpret_cast<V*>(sums + i * kMost + v * kLanes) = sum[i][v];
  }

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
                                       sums + i * kMost + j, kMost);
      });
    for (; j < n; ++j)
      by_rows(rows, [&]<int r>(int64_t i) {
        Dots::template dots<r, 1>(left + i * kStrip, kStrip, y + j * column, column, depth,
                                  sums + i * kMost + j, kMost);
      });
  }

  static void strip_of_updates(const A* left, const S* y, int64_t step, int64_t rows, int64_t n,
                               int64_t depth, A* sums) {
    constexpr int64_t kWide = kGroup * kLanes;
    for (int64_t q = 0; q < depth; q += kRun) {
      const int64_t run = depth - q < kRun ? depth - q : kRun;
      const S* from = y + q * step;
      int64_t j = 0;
      for (; j + kWide <= n; j += kWide)
        by_rows(rows, [&]<int r>(int64_t i) {
          rank_update<r, kGroup>(left + i * kStrip + q, from + j, step, run, sums + i * kMost + j);
        });
      for (; j + kLanes <= n; j += kLanes)
        by_rows(rows, [&]<int r>(int64_t i) {
          rank_update<r, 1>(left + i * kStrip + q, from + j, step, run, sums + i * kMost + j);
        });
      if (j < n) strip_of_scalars(left + q, from + j, step, 1, rows, n - j, run, sums + j);
    }
  }

  static void strip_of_scalars(const A* left, const S* y, int64_t step, int64_t column,
                               int64_t rows, int64_t n, int64_t depth, A* sums) {
    for (int64_t q = 0; q < depth; ++q)
      for (int64_t i = 0; i < rows; ++i)
        for (int64_t j = 0; j < n; ++j)
          sums[i * kMost + j] += left[i * kStrip + q] * static_cast<A>(y[q * step + j * column]);
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
    A* left = sums + kThin * kMost;
    A* buffer = left + kThin * kStrip;
    __builtin_memset(sums, 0, rows * kMost * sizeof(A));
    for (int64_t k0 = 0; k0 < p.k; k0 += kStrip) {
      const int64_t depth = p.k - k0 < kStrip ? p.k - k0 : kStrip;
      const DType type = yk == 1 ? DTypeOf<L>::value : DTypeOf<A>::value;
      for (int64_t i = 0; i < rows; ++i)
        TRN_ISA_NAMESPACE::convert_run(
            reinterpret_cast<char*>(left) + i * kStrip * dtype_size(type), type, 1,
            x.as<S>() + i * xr + k0 * xk, x.dtype, xk, depth);
      const S* from = y.as<S>() + j0 * yc + k0 * yk;
      if (yk == 1) strip_of_dots(reinterpret_cast<const L*>(left), from, yc, rows, n, depth, sums);
      else if (yc == 1) strip_of_updates(left, from, yk, rows, n, depth, sums);
      else strip_of_scalars(left, from, yk, yc, rows, n, depth, sums);
    }
    for (int64_t i = 0; i < rows; ++i)
      write_row<A>(p, sums + i * kMost, i, j0, n, by_column, buffer);
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
