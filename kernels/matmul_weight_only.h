// Linear layers whose weights are stored as integers: C = A W^T with W widened on its way in.
//
// operands: C [1, m, n], A [1, m, k] of any float type; W: int8 [1, n, k], or for 4 bits
// u8 [1, n, k / 2] with the even k in the high half; scales: [n] for int8, or [k / group, n, 2] of
// scale and zero for 4 bits: (w - 8) * scale + zero. W is dense. ints: 0, columns an item, group.
// Items are runs of columns. Weights of 4 bits are multiplied as whole numbers w - 8, a group at a
// time; its scale is applied to the sum, and its zero to the sum of A's row over the group. (So a
// row of A with an infinity gives NaN where (w - 8) is 0.)
#pragma once

#include "matmul_floats.h"

namespace trn {
namespace {

constexpr int64_t kColumnsOfItem = 512;  // at most
constexpr int64_t kRowsOfPass = 192;  // of A whose sums wait together: 384 KiB of the second level

// Element i of a dense operand.
TRN_INLINE const char* element(const Operand& o, int64_t i) {
  return o.as<char>() + i * dtype_size(o.dtype);
}

// How the weights of a column become whole numbers, and what n columns' sums over a group of k are
// multiplied by, and moved by where there are zeros. Bytes have one group.
struct Bytes {
  static constexpr bool kGrouped = false;
  static void widen(float* to, const Operand& w, int64_t column, int64_t k0, int64_t depth) {
    const int8_t* from = w.as<int8_t>() + column * w.sizes[2] + k0;
    for (int64_t q = 0; q < depth; ++q) to[q] = static_cast<float>(from[q]);
  }
  static void take_scales(const Call& call, int64_t, int64_t j0, int64_t n, float* scales, float*,
                          float*) {
    const Operand& o = call.operand[3];
    TRN_ISA_NAMESPACE::convert_run(scales, DType::f32, 1, element(o, j0), o.dtype, 1, n);
  }
};
struct Nibbles {
  static constexpr bool kGrouped = true;
  static void widen(float* to, const Operand& w, int64_t column, int64_t k0, int64_t depth) {
    const uint8_t* from = w.as<uint8_t>() + column * w.sizes[2] + k0 / 2;
    for (int64_t i = 0; i < depth / 2; ++i) {
      to[2 * i] = static_cast<float>((from[i] >> 4) - 8);
      to[2 * i + 1] = static_cast<float>((from[i] & 15) - 8);
    }
  }
  static void take_scales(const Call& call, int64_t group, int64_t j0, int64_t n, float* scales,
                          float* zeros, float* pairs) {
    const Operand& o = call.operand[3];
    const int64_t first = 2 * (group * call.operand[0].sizes[2] + j0);
    TRN_ISA_NAMESPACE::convert_run(pairs, DType::f32, 1, element(o, first), o.dtype, 1, 2 * n);
    for (int64_t j = 0; j < n; ++j) {
      scales[j] = pairs[2 * j];
      zeros[j] = pairs[2 * j + 1];
    }
  }
};

// Arithmetic of `Plain` whose sums are scaled by column, and moved by the sum of A's row.
template <class Plain, class Weights>
struct Scaled : Plain {
  using V = typename Vec<float>::Type;
  static constexpr bool kSettled = true, kDirect = false;
  TRN_INLINE static V settle(V sum, float left, const float* factors) {
    sum *= *reinterpret_cast<const V*>(factors);
    if constexpr (Weights::kGrouped)
      sum += left * *reinterpret_cast<const V*>(factors + kColumnsOfItem);
    return sum;
  }
};

// Rows of A from m0 on times columns from j0 on, as Blocked::multiply_with() takes them. Blocks of
// 4 bits are groups, of which several are packed at a time: whole cache lines of weights. Bytes
// have one scale, which every block's sums may take.
template <class Math, class Weights>
struct WidenedTile {
  using B = Blocked<Scaled<Math, Weights>>;
  using S = typename Math::Source;
  using U = typename Math::Unit;
  static constexpr int64_t kPer = Math::kPer;

  const Call& call;
  Problem p;
  int64_t m0, j0, n, step;
  float *scales, *pairs;
  S* wide;

  WidenedTile(const Call& c, int64_t row, int64_t column, int64_t columns, char* scratch)
      : call(c),
        p(problem_of(c, 0)),
        m0(row),
        j0(column),
        n(columns),
        step(Weights::kGrouped ? c.ints[2] : kDepth * kPer),
        scales(reinterpret_cast<float*>(scratch + kScratchBytes - kSpareBytes)),
        pairs(scales + 2 * kColumnsOfItem),
        wide(reinterpret_cast<S*>(pairs + 2 * kColumnsOfItem)) {
    p.d.ndim = -1;
  }

  int64_t blocks() const { return (p.k + step - 1) / step; }
  int64_t depth(int64_t block) const {
    return p.k - block * step < step ? p.k - block * step : step;
  }
  int64_t units(int64_t block) const { return (depth(block) + kPer - 1) / kPer; }
  const float* factors(int64_t) const { return scales; }
  typename B::Area area_of_a(int64_t, int64_t, int64_t) const { return {}; }
  typename B::Area area_of_b(int64_t) const { return {}; }
  typename B::Rows rows_of_a(U* panel, int64_t row, int64_t rows, int64_t block) {
    const int64_t *s = p.a.strides, at = (m0 + row) * s[1] + block * step * s[2];
    if (p.a.dtype == DTypeOf<S>::value)
      return B::rows_of(panel, p.a.as<S>() + at, rows, depth(block), s[1], s[2]);
    for (int64_t i = 0; i < rows; ++i)
      TRN_ISA_NAMESPACE::convert_run(panel + i * kRowUnits, DTypeOf<S>::value, 1,
                                     element(p.a, at + i * s[1]), p.a.dtype, s[2], depth(block));
    return {reinterpret_cast<const char*>(panel), kRowUnits * static_cast<int64_t>(sizeof(U)),
            false};
  }
  int64_t groups() const { return kDepth * kPer / step; }
  int64_t first_unit(int64_t block) const { return block % groups() * step / kPer; }
  // A strip's columns are widened into the first level, and packed from there.
  void pack_b(U* panel, int64_t block) {
    if (Weights::kGrouped || block == 0)
      Weights::take_scales(call, block, j0, n, scales, scales + kColumnsOfItem, pairs);
    if (block % groups()) return;
    constexpr int64_t kLine = kDepth * kPer;
    const int64_t k0 = block * step, count = p.k - k0 < kLine ? p.k - k0 : kLine;
    for (int64_t j = 0; j < n; j += B::kColumns, panel += B::kStrip) {
      const int64_t columns = n - j < B::kColumns ? n - j : B::kColumns;
      for (int64_t c = 0; c < columns; ++c)
        Math::template widen<Weights>(wide + c * kLine, call.operand[2], j0 + j + c, k0, count);
      B::pack(panel, 1, B::kColumns, wide, columns, count, kLine, 1);
    }
  }
  void finish(int64_t row, float* sums, float* buffer) {
    write_row<float>(p, sums, m0 + row, j0, n, false, buffer);
  }
};

template <class Math, class Weights>
void multiply_widened(const Call& call, int64_t j0, int64_t n, char* scratch) {
  const int64_t m = call.operand[0].sizes[1];
  for (int64_t m0 = 0; m0 < m; m0 += kRowsOfPass) {
    WidenedTile<Math, Weights> tile(call, m0, j0, n, scratch);
    Blocked<Scaled<Math, Weights>>::multiply_with(tile, m - m0 < kRowsOfPass ? m - m0 : kRowsOfPass,
                                                  n, tile.blocks(), scratch);
  }
}

struct FloatWeights : FloatMath<float> {
  TRN_INLINE static V sum_up(V sum, V units) { return sum + units; }
  template <class Weights>
  static void widen(float* to, const Operand& w, int64_t column, int64_t k0, int64_t depth) {
    Weights::widen(to, w, column, k0, depth);
  }
};

// Few rows: dot products with columns widened one after another, a group or a strip of k at a time.
template <class Weights>
struct FewRows {
  using Dots = Thin<float, float>;
  static constexpr int64_t kMost = 4;  // rows; with more of them packed panels are faster

  static void multiply(const Call& call, int64_t j0, int64_t n, char* scratch) {
    Problem p = problem_of(call, 0);
    p.d.ndim = -1;
    const int64_t group = Weights::kGrouped ? call.ints[2] : Dots::kStrip;
    float* sums = reinterpret_cast<float*>(scratch);
    float* left = sums + kMost * Dots::kPitch;
    float* wide = left + kMost * Dots::kStrip;
    float* dots = wide + Dots::kGroup * Dots::kStrip;
    float* scales = dots + kMost * Dots::kPitch;
    float* zeros = scales + Dots::kMost;
    float* pairs = zeros + Dots::kMost;
    __builtin_memset(sums, 0, kMost * Dots::kPitch * sizeof(float));
    for (int64_t k0 = 0; k0 < p.k; k0 += group) {
      const int64_t depth = p.k - k0 < group ? p.k - k0 : group;
      float total[kMost];
      for (int64_t i = 0; i < p.m; ++i) {
        float* row = left + i * Dots::kStrip;
        TRN_ISA_NAMESPACE::convert_run(row, DType::f32, 1,
                                       element(p.a, i * p.a.strides[1] + k0 * p.a.strides[2]),
                                       p.a.dtype, p.a.strides[2], depth);
        total[i] = 0;
        for (int64_t q = 0; q < depth; ++q) total[i] += row[q];
      }
      __builtin_memset(dots, 0, kMost * Dots::kPitch * sizeof(float));
      for (int64_t j = 0; j < n; j += Dots::kGroup) {
        const int64_t count = n - j < Dots::kGroup ? n - j : Dots::kGroup;
        for (int64_t c = 0; c < count; ++c)
          Weights::widen(wide + c * Dots::kStrip, call.operand[2], j0 + j + c, k0, depth);
        Dots::strip_of_dots(left, wide, Dots::kStrip, p.m, count, depth, dots + j);
      }
      Weights::take_scales(call, k0 / group, j0, n, scales, zeros, pairs);
      for (int64_t i = 0; i < p.m; ++i)
        for (int64_t j = 0; j < n; ++j)
          sums[i * Dots::kPitch + j] += dots[i * Dots::kPitch + j] * scales[j] +
                                        (Weights::kGrouped ? total[i] * zeros[j] : 0);
    }
    for (int64_t i = 0; i < p.m; ++i)
      write_row<float>(p, sums + i * Dots::kPitch, i, j0, n, false, pairs);
  }
};

template <class Weights>
void multiply_weights(const Call& call, const Range& range) {
  const int64_t n = call.operand[0].sizes[2];
  for (int64_t i = range.begin; i < range.end; ++i) {
    const int64_t j0 = i * call.ints[1], left = n - j0;
    const int64_t columns = left < call.ints[1] ? left : call.ints[1];
    if (call.operand[0].sizes[1] <= FewRows<Weights>::kMost)
      FewRows<Weights>::multiply(call, j0, columns, range.scratch);
    else multiply_widened<FloatWeights, Weights>(call, j0, columns, range.scratch);
  }
}

}  // namespace
}  // namespace trn
