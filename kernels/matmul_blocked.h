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
//   kDirect, store(to, sums, n)  whether, and how, up to n sums of a row are written as Source
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

// Rows of packed A are this far apart, or units where rows are neighbours: no powers of two, or
// they would share cache sets.
constexpr int64_t kRowUnits = kDepth + 16, kUnitRows = kPanelM + 16;
constexpr int64_t kPanelUnits = kUnitRows * kRowUnits;

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
  static constexpr bool kDirect = Math::kDirect;

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

  // Packs lines that are contiguous over one another, a unit of k at a time: line i of unit u at
  // to[i / kColumns * group + i % kColumns + u * unit].
  static void pack_across(U* to, int64_t group, int64_t unit, const S* from, int64_t lines,
                          int64_t depth, int64_t step) {
    for (int64_t q = 0; q < depth; q += kPer, from += kPer * step, to += unit) {
      U* strip = to;
      int64_t i = 0;
      for (; i + kColumns <= lines; i += kColumns, strip += group)
        Math::across_strip(strip, from + i, step, depth - q);
      for (int64_t j = 0; i < lines; i += kLanes, j += kLanes)
        *reinterpret_cast<UV*>(strip + j) =
            Math::across(from + i, step, lines - i < kLanes ? lines - i : kLanes, depth - q);
    }
  }

  // Rows of A as they are multiplied: unit p of row r lies at + r * row + p * sizeof(U), or, by
  // units, at + r * sizeof(U) + p * kUnitBytes.
  struct Rows {
    const char* at;
    int64_t row;
    bool by_units;
  };
  static constexpr int64_t kUnitBytes = kUnitRows * sizeof(U);

  // `rows` rows of `depth` elements of k, `line` and `step` apart: where they lie if whole units
  // can be read there, else packed into the panel in the order that needs no transposition.
  static Rows rows_of(U* panel, const S* from, int64_t rows, int64_t depth, int64_t line,
                      int64_t step) {
    constexpr bool whole = sizeof(S) * kPer == sizeof(U);
    if (whole && step == 1 && depth % kPer == 0 && rows % kRows == 0)
      return {reinterpret_cast<const char*>(from), line * static_cast<int64_t>(sizeof(S)), false};
    const char* at = reinterpret_cast<const char*>(panel);
    if (line == 1 && step != 1) {
      pack_across(panel, kColumns, kUnitRows, from, rows, depth, step);
      return {at, sizeof(U), true};
    }
    pack(panel, kRowUnits, 1, from, rows, depth, line, step);
    return {at, kRowUnits * sizeof(U), false};
  }

  // Where a register tile goes: added to sums that are there already or not, kept as sums or, if
  // `out` is not null, written as `columns` results of each row.
  struct To {
    A* sums;
    int64_t stride;
    bool add;
    S* out;
    int64_t row, columns;
  };

  // Rows of A times a strip of B.
  template <int rows, bool by_units>
  __attribute__((noinline)) static void multiply_tile(const char* a, int64_t row_bytes, const U* b,
                                                      int64_t units, const To& to) {
    typedef U AnyU __attribute__((aligned(1), may_alias));
    constexpr int groups = (rows + 3) / 4;
    const char* group[groups];
    for (int g = 0; g < groups; ++g) group[g] = a + 4 * g * row_bytes;
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
        const char* at = by_units ? a + r * sizeof(U) : group[r / 4] + r % 4 * row_bytes;
        const U x = *reinterpret_cast<const AnyU*>(at);
#pragma GCC unroll 2
        for (int v = 0; v < kVectors; ++v)
          sum[r][v] = Math::multiply(sum[r][v], row[v], x);
      }
      if constexpr (by_units) a += kUnitBytes;
      else
#pragma GCC unroll 3
        for (int g = 0; g < groups; ++g) {
          group[g] += sizeof(U);
          asm("" : "+r"(group[g]));
        }
      b += kColumns;
    }
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r)
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) {
        if constexpr (Math::kBiased) sum[r][v] -= bias[v];
        AV* before = reinterpret_cast<AV*>(to.sums + r * to.stride + v * kLanes);
        if (to.add) sum[r][v] += *before;
        if (!to.out) *before = sum[r][v];
      }
    if constexpr (kDirect)
      if (to.out)
#pragma GCC unroll 16
        for (int r = 0; r < rows; ++r) Math::store(to.out + r * to.row, sum[r], to.columns);
  }

  template <bool by_units>
  static void multiply_rows(const char* a, int64_t row, const U* b, int64_t units, int64_t rows,
                            const To& to) {
    constexpr int two = 2 * kRows / 3, one = (kRows + 2) / 3;
    if (rows > two) return multiply_tile<kRows, by_units>(a, row, b, units, to);
    if (rows > one) return multiply_tile<two, by_units>(a, row, b, units, to);
    multiply_tile<one, by_units>(a, row, b, units, to);
  }

  // m x n sums over `blocks` blocks of k, at most kDepth units each. `from` provides:
  //   units(block)                         how many units of k a block has
  //   rows_of_a(panel, row, rows, block)   rows of A
  //   pack_b(strip, column, columns, block)  at most kColumns columns of B
  //   finish(row, sums, buffer)            takes a row of n sums
  //   out(row), out_row()                  where Math::store() may put row `row` instead, null if
  //                                        finish() has more to do, and how far apart rows are
  template <class From>
  static void multiply_with(From& from, int64_t m, int64_t n, int64_t blocks, char* scratch) {
    const int64_t stride = (n + kColumns - 1) / kColumns * kColumns;
    A* acc = reinterpret_cast<A*>(scratch);
    U* b_panel = reinterpret_cast<U*>(acc + kMaxTile);
    U* a_panel = b_panel + kDepth * kMaxTileN;
    A* buffer = reinterpret_cast<A*>(a_panel + kPanelUnits);
    // Without any k one empty block writes zeros.
    for (int64_t block = 0; block < blocks || block == 0; ++block) {
      const int64_t units = blocks ? from.units(block) : 0;
      for (int64_t j = 0; j < n; j += kColumns)
        from.pack_b(b_panel + j * kDepth, j, n - j < kColumns ? n - j : kColumns, block);
      for (int64_t i0 = 0, height; i0 < m; i0 += height) {
        // Only whole register tiles are read where they lie: the rest has a panel of its own.
        height = m - i0 < kPanelM ? m - i0 : kPanelM;
        if (height > kRows) height -= height % kRows;
        const Rows a = from.rows_of_a(a_panel, i0, height, block);
        // Sums that no other block adds to are finished in the second level.
        A* sums = blocks > 1 ? acc + i0 * stride : acc;
        const bool last = block + 1 >= blocks;
        S* out = nullptr;
        if constexpr (kDirect)
          if (last && height % kRows == 0) out = from.out(i0);
        To to{nullptr, stride, block > 0, nullptr, 0, 0};
        for (int64_t j = 0; j < n; j += kColumns)
          for (int64_t i = 0; i < height; i += kRows) {
            const U* strip = b_panel + j * kDepth;
            const char* at = a.at + i * a.row;
            to.sums = sums + i * stride + j;
            if (out) {
              to.row = from.out_row();
              to.out = out + i * to.row + j;
              to.columns = n - j;
            }
            if (a.by_units) multiply_rows<true>(at, 0, strip, units, height - i, to);
            else multiply_rows<false>(at, a.row, strip, units, height - i, to);
          }
        if (!last || out) continue;
        for (int64_t i = 0; i < height; ++i) from.finish(i0 + i, sums + i * stride, buffer);
      }
    }
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
    Rows rows_of_a(U* panel, int64_t row, int64_t rows, int64_t block) {
      const int64_t *s = p.a.strides, at = (m0 + row) * s[1] + block * kStep * s[2];
      return rows_of(panel, p.a.as<S>() + at, rows, depth(block), s[1], s[2]);
    }
    void pack_b(U* strip, int64_t column, int64_t columns, int64_t block) {
      const int64_t *s = p.b.strides, at = block * kStep * s[1] + (n0 + column) * s[2];
      const S* from = p.b.as<S>() + at;
      if (s[2] == 1 && s[1] != 1)
        pack_across(strip, 0, kColumns, from, columns, depth(block), s[1]);
      else pack(strip, 1, kColumns, from, columns, depth(block), s[2], s[1]);
    }
    S* out(int64_t row) const {
      const bool plain = p.alpha == 1 && (p.beta == 0 || p.d.absent()) &&
                         p.c.dtype == DTypeOf<S>::value && p.c.strides[2] == 1;
      return plain ? p.c.as<S>() + (m0 + row) * p.c.strides[1] + n0 : nullptr;
    }
    int64_t out_row() const { return p.c.strides[1]; }
    void finish(int64_t row, A* sums, A* buffer) { Math::finish(p, sums, m0 + row, n0, n, buffer); }
  };

  static void multiply(const Problem& p, int64_t m0, int64_t n0, int64_t tile_m, int64_t tile_n,
                       char* scratch) {
    const int64_t m = p.m - m0 < tile_m ? p.m - m0 : tile_m;
    const int64_t n = p.n - n0 < tile_n ? p.n - n0 : tile_n;
    Tile tile{p, m0, n0, n};
    multiply_with(tile, m, n, (p.k + Tile::kStep - 1) / Tile::kStep, scratch);
  }

  static_assert((kMaxTile + kDepth * kMaxTileN + kPanelUnits + kMaxTileN) * sizeof(U) <=
                kScratchBytes - kSpareBytes);
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
