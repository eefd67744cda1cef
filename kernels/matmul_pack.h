// How factors of a blocked product are packed: by vectors of units, transposed in registers where k
// lies the other way. What a unit is, and the Math class, is told in matmul_blocked.h.
#pragma once

#include <utility>

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
constexpr int64_t kRowUnits = kMaxDepth, kUnitRows = kPanelM + 16;
constexpr int64_t kPanelUnits = kUnitRows * kRowUnits;

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
    if (!(i & step)) exchange<V, step>(v[i], v[i + step], std::make_integer_sequence<int, lanes>());
  if constexpr (2 * step < lanes) transpose<V, lanes, 2 * step>(v);
}

template <class Math>
struct Packing {
  using S = typename Math::Source;
  using U = typename Math::Unit;
  using A = typename Math::Sum;
  using R = typename Math::Result;
  using UV = typename Vec<U>::Type;
  using AV = typename Vec<A>::Type;
  static constexpr int kLanes = Vec<U>::kLanes, kColumns = kVectors * kLanes;
  static constexpr int64_t kPer = Math::kPer;
  static constexpr bool kDirect = Math::kDirect;
  static constexpr bool kTiled = requires { Math::kBlockRows; };
  // Rows that are multiplied at once, and what blocks of k are multiples of.
  static constexpr int kBlockRows = [] {
    if constexpr (kTiled) return Math::kBlockRows;
    else return kRows;
  }();
  static constexpr int64_t kStepUnits = kTiled ? kTileUnits : 1;

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
      for (int i = 0; i < kLanes; ++i) {
        v[i] = Math::along(from + i * line, elements);
        __builtin_prefetch(from + (kLanes + i) * line);  // for the next lines
      }
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
    constexpr int64_t kAhead = 16;  // of k: lines are short and far apart, which nobody foresees
    for (int64_t q = 0; q < depth; q += kPer, from += kPer * step, to += unit) {
      if (q + kAhead < depth)
        for (int64_t e = 0; e < kPer; ++e)
          for (int64_t b = 0; b < lines * static_cast<int64_t>(sizeof(S)); b += 64)
            __builtin_prefetch(reinterpret_cast<const char*>(from + (kAhead + e) * step) + b, 0, 2);
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
  // units, at + r * sizeof(U) + p * kUnitBytes. The last unit has `tail` elements if not 0.
  struct Rows {
    const char* at;
    int64_t row;
    bool by_units;
    int64_t tail = 0;
  };
  static constexpr int64_t kUnitBytes = kUnitRows * sizeof(U);

  // `rows` rows of `depth` elements of k, `line` and `step` apart: where they lie if units can be
  // read there, else packed into the panel in the order that needs no transposition.
  static Rows rows_of(U* panel, const S* from, int64_t rows, int64_t depth, int64_t line,
                      int64_t step) {
    constexpr bool whole = sizeof(S) * kPer == sizeof(U);
    const int64_t row = line * static_cast<int64_t>(sizeof(S));
    if (whole && step == 1 && rows % kBlockRows == 0 && (kTiled || !rows_collide(row)))
      return {reinterpret_cast<const char*>(from), row, false, depth % kPer};
    const char* at = reinterpret_cast<const char*>(panel);
    if (!kTiled && line == 1 && step != 1) {
      pack_across(panel, kColumns, kUnitRows, from, rows, depth, step);
      return {at, sizeof(U), true};
    }
    pack(panel, kRowUnits, 1, from, rows, depth, line, step);
    return {at, kRowUnits * sizeof(U), false};
  }
};

}  // namespace
}  // namespace trn
