// The blocked matrix product over packed units, for any arithmetic.
//
// A unit is what one multiply-add takes of k: one float, two bfloat16, four bytes. A packs into
// rows of units, B into strips as wide as a register tile; both are read in either order by whole
// vectors, through a transposition in registers where k lies the other way. The Math class says
// what a unit is:
//   Source, Unit, Sum     types of memory, packed units and accumulators (Unit and Sum one size)
//   kPer                  elements of k in a unit
//   along(p, n)           a vector of units from n elements contiguous in k
//   across(p, stride, n, depth)  one unit of each of n columns contiguous in memory; `depth`
//                         elements of k are left
//   multiply(sum, row, unit)     sum + row * the broadcast unit
//   kBiased, bias(sum, row)      whether bias(), summed over the strip, is taken off every row
// Everything lies in the anonymous namespace of the file that includes it: files for different
// instruction sets share nothing.
#pragma once

#include <utility>

#include "blocks.h"
#include "matmul_tiles.h"

namespace trn {
namespace {

constexpr int kRows = kVectorBytes == 64 ? 12 : kVectorBytes == 32 ? 6 : 4;
constexpr int kVectors = 2;

template <class T>
struct Vec {
  typedef T Type __attribute__((vector_size(kVectorBytes), aligned(sizeof(T))));
  static constexpr int kLanes = kVectorBytes / sizeof(T);
};

// Rows of packed A are this far apart: no power of two, or they would share cache sets.
constexpr int64_t kRowUnits = kDepth + 16;

struct Problem {
  Operand c, a, b, d;
  int64_t m, n, k;
  double alpha, beta;
};

TRN_INLINE Operand matrix_of(const Operand& o, int64_t batch) {
  Operand m = o;
  if (!o.absent()) m.data = o.as<char>() + batch * o.strides[0] * dtype_size(o.dtype);
  return m;
}

TRN_INLINE Problem problem_of(const Call& call, int64_t batch) {
  const Operand &c = call.operand[0], &a = call.operand[1];
  return {matrix_of(c, batch), matrix_of(a, batch), matrix_of(call.operand[2], batch),
          matrix_of(call.operand[3], batch), c.sizes[1], c.sizes[2], a.sizes[2],
          call.reals[0], call.reals[1]};
}

// C[row, column...] = alpha * sums + beta * D for `n` dense sums.
template <class A>
void write_row(const Problem& p, A* sums, int64_t row, int64_t column, int64_t n, bool by_column,
               A* buffer) {
  const auto offset = [&](const Operand& o) {
    return (by_column ? column * o.strides[1] + row * o.strides[2]
                      : row * o.strides[1] + column * o.strides[2]);
  };
  const int64_t cs = by_column ? p.c.strides[1] : p.c.strides[2];
  if (p.alpha != 1)
    for (int64_t j = 0; j < n; ++j) sums[j] *= static_cast<A>(p.alpha);
  if (p.beta != 0 && !p.d.absent()) {
    const int64_t ds = by_column ? p.d.strides[1] : p.d.strides[2];
    TRN_ISA_NAMESPACE::convert_run(buffer, DTypeOf<A>::value, 1,
                                   p.d.as<char>() + offset(p.d) * dtype_size(p.d.dtype), p.d.dtype,
                                   ds, n);
    for (int64_t j = 0; j < n; ++j) sums[j] += static_cast<A>(p.beta) * buffer[j];
  }
  TRN_ISA_NAMESPACE::convert_run(p.c.as<char>() + offset(p.c) * dtype_size(p.c.dtype), p.c.dtype,
                                 cs, sums, DTypeOf<A>::value, 1, n);
}

template <class V, int step, int... lane>
TRN_INLINE void exchange(V& a, V& b, std::integer_sequence<int, lane...>) {
  constexpr int n = sizeof...(lane);
  const V low = __builtin_shufflevector(a, b, ((lane & step) ? n + lane - step : lane)...);
  b = __builtin_shufflevector(a, b, ((lane & step) ? n + lane : lane + step)...);
  a = low;
}

// Transposes a square of lanes x lanes in registers.
template <class V, int lanes, int step = 1>
TRN_INLINE void transpose(V (&v)[lanes]) {
#pragma GCC unroll 16
  for (int i = 0; i < lanes; ++i)
    if (!(i & step))
      exchange<V, step>(v[i], v[i + step], std::make_integer_sequence<int, lanes>());
  if constexpr (2 * step < lanes) transpose<V, lanes, 2 * step>(v);
}

template <class Math>
struct Blocked {
  using S = typename Math::Source;
  using U = typename Math::Unit;
  using A = typename Math::Sum;
  using UV = typename Vec<U>::Type;
  using AV = typename Vec<A>::Type;
  static constexpr int kLanes = Vec<U>::kLanes, kColumns = kVectors * kLanes;
  static constexpr int64_t kPer = Math::kPer;

  // `lines` lines of `depth` elements of k (`line` and `step` apart) as rows of units.
  // Lines go `to_line` apart and units `to_unit`; one of the two is 1.
  static void pack(U* to, int64_t to_line, int64_t to_unit, const S* from, int64_t lines,
                   int64_t depth, int64_t line, int64_t step) {
    const int64_t units = (depth + kPer - 1) / kPer;
    for (int64_t i = 0; i < lines; i += kLanes) {
      const int64_t n = lines - i < kLanes ? lines - i : kLanes;
      for (int64_t u = 0; u < units; u += kLanes) {
        const int64_t count = units - u < kLanes ? units - u : kLanes;
        const S* block = from + i * line + u * kPer * step;
        U* target = to + i * to_line + u * to_unit;
        pack_square(target, to_line, to_unit, block, n, count, depth - u * kPer, line, step);
      }
    }
  }

  // A square of at most kLanes lines and units.
  TRN_INLINE static void pack_square(U* to, int64_t to_line, int64_t to_unit, const S* from,
                                     int64_t lines, int64_t units, int64_t depth, int64_t line,
                                     int64_t step) {
    UV v[kLanes];
    const bool by_line = step == 1;
    if (!by_line && line != 1) {
      for (int64_t i = 0; i < lines; ++i)
        for (int64_t u = 0; u < units; ++u)
          to[i * to_line + u * to_unit] =
              Math::gather(from + i * line + u * kPer * step, step, depth - u * kPer);
      return;
    }
    const int64_t have = by_line ? lines : units, width = by_line ? units : lines;
    const int64_t elements = units * kPer < depth ? units * kPer : depth;
    if (have == kLanes && by_line) {
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i) v[i] = Math::along(from + i * line, elements);
    } else if (have == kLanes) {
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i)
        v[i] = Math::across(from + i * kPer * step, step, lines, depth - i * kPer);
    } else {
      for (int64_t i = 0; i < kLanes; ++i)
        v[i] = i >= have ? UV{}
               : by_line ? Math::along(from + i * line, elements)
                         : Math::across(from + i * kPer * step, step, lines, depth - i * kPer);
    }
    const bool turned = by_line ? to_unit != 1 : to_line != 1;
    const int64_t stride = turned == by_line ? to_unit : to_line;
    if (turned) transpose<UV, kLanes>(v);
    // Strips and rows of panels are padded to whole vectors: more than is needed may be written.
    const int64_t rows = turned ? width : have;
    if (rows == kLanes) {
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i) *reinterpret_cast<UV*>(to + i * stride) = v[i];
    } else {
      for (int64_t i = 0; i < rows; ++i) *reinterpret_cast<UV*>(to + i * stride) = v[i];
    }
  }

  // acc[rows][stride] (+)= rows of a times a strip of b.
  template <int rows>
  static void multiply_tile(const U* a, const U* b, int64_t units, A* acc, int64_t stride,
                            bool add) {
    AV sum[rows][kVectors] = {};
    AV bias[kVectors] = {};
    for (int64_t p = 0; p < units; ++p) {
      UV row[kVectors];
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) row[v] = *reinterpret_cast<const UV*>(b + v * kLanes);
      if constexpr (Math::kBiased)
        for (int v = 0; v < kVectors; ++v) bias[v] = Math::bias(bias[v], row[v]);
#pragma GCC unroll 16
      for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 2
        for (int v = 0; v < kVectors; ++v)
          sum[r][v] = Math::multiply(sum[r][v], row[v], a[r * kRowUnits + p]);
      }
      b += kColumns;
    }
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r)
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) {
        if constexpr (Math::kBiased) sum[r][v] -= bias[v];
        AV* to = reinterpret_cast<AV*>(acc + r * stride + v * kLanes);
        *to = add ? *to + sum[r][v] : sum[r][v];
      }
  }

  static void multiply_rows(const U* a, const U* b, int64_t units, A* acc, int64_t stride,
                            int64_t rows, bool add) {
    if (rows >= kRows) return multiply_tile<kRows>(a, b, units, acc, stride, add);
    if (rows > 2 * kRows / 3) return multiply_tile<kRows>(a, b, units, acc, stride, add);
    if (rows > kRows / 3) return multiply_tile<2 * kRows / 3>(a, b, units, acc, stride, add);
    multiply_tile<(kRows + 2) / 3>(a, b, units, acc, stride, add);
  }

  // m x n sums over `blocks` blocks of k, at most kDepth units each. `from` provides:
  //   units(block)                         how many units of k a block has
  //   pack_a(panel, row, rows, block)      rows of A, kRowUnits apart
  //   pack_b(strip, column, columns, block)  at most kColumns columns of B
  //   finish(row, sums, buffer)            takes a row of n sums
  template <class From>
  static void multiply_with(From& from, int64_t m, int64_t n, int64_t blocks, char* scratch) {
    const int64_t stride = (n + kColumns - 1) / kColumns * kColumns;
    A* acc = reinterpret_cast<A*>(scratch);
    U* b_panel = reinterpret_cast<U*>(acc + (kMaxTileM + kRows) * kMaxTileN);
    U* a_panel = b_panel + kDepth * kMaxTileN;
    A* buffer = reinterpret_cast<A*>(a_panel + (kPanelM + kRows) * kRowUnits);
    // Without any k one empty block writes zeros.
    for (int64_t block = 0; block < blocks || block == 0; ++block) {
      const int64_t units = blocks ? from.units(block) : 0;
      for (int64_t j = 0; j < n; j += kColumns)
        from.pack_b(b_panel + j * kDepth, j, n - j < kColumns ? n - j : kColumns, block);
      for (int64_t i0 = 0; i0 < m; i0 += kPanelM) {
        const int64_t height = m - i0 < kPanelM ? m - i0 : kPanelM;
        from.pack_a(a_panel, i0, height, block);
        for (int64_t j = 0; j < n; j += kColumns)
          for (int64_t i = 0; i < height; i += kRows)
            multiply_rows(a_panel + i * kRowUnits, b_panel + j * kDepth, units,
                          acc + (i0 + i) * stride + j, stride, height - i, block > 0);
      }
    }
    for (int64_t i = 0; i < m; ++i) from.finish(i, acc + i * stride, buffer);
  }

  // A tile of a plain product, whose corner is (m0, n0).
  struct Tile {
    const Problem& p;
    int64_t m0, n0, n;
    static constexpr int64_t kStep = kDepth * kPer;

    int64_t depth(int64_t block) const {
      const int64_t left = p.k - block * kStep;
      return left < kStep ? left : kStep;
    }
    int64_t units(int64_t block) const { return (depth(block) + kPer - 1) / kPer; }
    void pack_a(U* panel, int64_t row, int64_t rows, int64_t block) {
      const int64_t *s = p.a.strides, at = (m0 + row) * s[1] + block * kStep * s[2];
      pack(panel, kRowUnits, 1, p.a.as<S>() + at, rows, depth(block), s[1], s[2]);
    }
    void pack_b(U* strip, int64_t column, int64_t columns, int64_t block) {
      const int64_t *s = p.b.strides, at = block * kStep * s[1] + (n0 + column) * s[2];
      pack(strip, 1, kColumns, p.b.as<S>() + at, columns, depth(block), s[2], s[1]);
    }
    void finish(int64_t row, A* sums, A* buffer) { Math::finish(p, sums, m0 + row, n0, n, buffer); }
  };

  static void multiply(const Problem& p, int64_t m0, int64_t n0, int64_t tile_m, int64_t tile_n,
                       char* scratch) {
    const int64_t m = p.m - m0 < tile_m ? p.m - m0 : tile_m;
    const int64_t n = p.n - n0 < tile_n ? p.n - n0 : tile_n;
    Tile tile{p, m0, n0, n};
    multiply_with(tile, m, n, (p.k + Tile::kStep - 1) / Tile::kStep, scratch);
  }

  static_assert(((kMaxTileM + kRows) * kMaxTileN + kDepth * kMaxTileN +
                 (kPanelM + kRows) * kRowUnits + kMaxTileN) * sizeof(U) <= kScratchBytes);
};

// Registered form: ints[0], ints[1] are the tile's rows and columns.
template <class Math>
TRN_INLINE void multiply_blocked(const Call& call, const Range& range) {
  const int64_t m = call.operand[0].sizes[1], n = call.operand[0].sizes[2];
  const int64_t tile_m = call.ints[0], tile_n = call.ints[1];
  const int64_t across = (n + tile_n - 1) / tile_n;
  const int64_t items = (m + tile_m - 1) / tile_m * across;
  for (int64_t i = range.begin; i < range.end; ++i) {
    const int64_t tile = i % items;
    Blocked<Math>::multiply(problem_of(call, i / items), tile / across * tile_m,
                            tile % across * tile_n, tile_m, tile_n, range.scratch);
  }
}

}  // namespace
}  // namespace trn
