// Linear layers whose weights are stored as integers: C = A W^T with W widened on its way in.
//
// operands: C [1, m, n], A [1, m, k] of any float type; W: int8 [1, n, k], or for 4 bits
// u8 [1, n, k / 2] with the even k in the high half; scales: [n] for int8, or [k / group, n, 2] of
// scale and zero for 4 bits: (w - 8) * scale + zero. W is dense. ints: 0, columns an item, group.
// Items are runs of columns.
#include "matmul_thin.h"

namespace trn {
namespace {

using Dots = Thin<float, float>;
constexpr int64_t kStrip = Dots::kStrip, kMost = Dots::kMost;
constexpr int64_t kRowsAtOnce = 64;  // 64 rows of a strip are 256 KiB: a part of the second level
constexpr int64_t kLeastGroup = 32;  // of k that share a scale
constexpr int64_t kColumnsAtOnce = Dots::kGroup;

TRN_INLINE float one_of(const Operand& o, int64_t i) {
  float x;
  TRN_ISA_NAMESPACE::convert_run(&x, DType::f32, 1, o.as<char>() + i * dtype_size(o.dtype), o.dtype,
                                 1, 1);
  return x;
}

// take_scales() has the scales of n columns from j0 on ready in `scales`; widen() makes floats of
// `depth` weights of the c-th of them from k0 on. Scales of int8 wait until the end.
struct Bytes {
  static constexpr bool kScaledAtEnd = true;
  static void take_scales(const Call&, int64_t, int64_t, int64_t, int64_t, float*) {}
  static void widen(const Call& call, int64_t j0, int64_t c, int64_t k0, int64_t depth, float* to,
                    const float*) {
    const Operand& w = call.operand[2];
    const int8_t* from = w.as<int8_t>() + (j0 + c) * w.sizes[2] + k0;
    for (int64_t q = 0; q < depth; ++q) to[q] = static_cast<float>(from[q]);
  }
};
struct Nibbles {
  static constexpr bool kScaledAtEnd = false;
  // [group][column][scale, zero], groups 2 kMost apart.
  static void take_scales(const Call& call, int64_t j0, int64_t n, int64_t k0, int64_t depth,
                          float* scales) {
    const Operand& o = call.operand[3];
    const int64_t group = call.ints[2], row = 2 * call.operand[2].sizes[1];
    for (int64_t q = 0; q < depth; q += group, scales += 2 * kMost)
      TRN_ISA_NAMESPACE::convert_run(
          scales, DType::f32, 1,
          o.as<char>() + ((k0 + q) / group * row + 2 * j0) * dtype_size(o.dtype), o.dtype, 1, 2 * n);
  }
  static void widen(const Call& call, int64_t j0, int64_t c, int64_t k0, int64_t depth, float* to,
                    const float* scales) {
    const Operand& w = call.operand[2];
    const uint8_t* from = w.as<uint8_t>() + (j0 + c) * w.sizes[2] + k0 / 2;
    const int64_t group = call.ints[2];
    scales += 2 * c;
    for (int64_t q = 0; q < depth; q += group, scales += 2 * kMost) {
      const int64_t run = depth - q < group ? depth - q : group;
      const float scale = scales[0], zero = scales[1] - 8 * scale;
      for (int64_t i = 0; i < run / 2; ++i) {
        const uint8_t both = from[q / 2 + i];
        to[q + 2 * i] = static_cast<float>(both >> 4) * scale + zero;
        to[q + 2 * i + 1] = static_cast<float>(both & 15) * scale + zero;
      }
    }
  }
};

template <class Weights>
void multiply_rows(const Call& call, int64_t m0, int64_t j0, char* scratch) {
  const Problem p = problem_of(call, 0);
  const Operand& a = call.operand[1];
  const int64_t rows = p.m - m0 < kRowsAtOnce ? p.m - m0 : kRowsAtOnce;
  const int64_t n = p.n - j0 < call.ints[1] ? p.n - j0 : call.ints[1];
  float* sums = reinterpret_cast<float*>(scratch);
  float* left = sums + kRowsAtOnce * kMost;
  float* wide = left + kRowsAtOnce * kStrip;
  float* scales = wide + kColumnsAtOnce * kStrip;
  float* buffer = scales + kStrip / kLeastGroup * 2 * kMost;
  __builtin_memset(sums, 0, rows * kMost * sizeof(float));
  for (int64_t k0 = 0; k0 < p.k; k0 += kStrip) {
    const int64_t depth = p.k - k0 < kStrip ? p.k - k0 : kStrip;
    for (int64_t i = 0; i < rows; ++i)
      TRN_ISA_NAMESPACE::convert_run(
          left + i * kStrip, DType::f32, 1,
          a.as<char>() + ((m0 + i) * a.strides[1] + k0 * a.strides[2]) * dtype_size(a.dtype),
          a.dtype, a.strides[2], depth);
    Weights::take_scales(call, j0, n, k0, depth, scales);
    for (int64_t j = 0; j < n; j += kColumnsAtOnce) {
      const int64_t count = n - j < kColumnsAtOnce ? n - j : kColumnsAtOnce;
      for (int64_t c = 0; c < count; ++c)
        Weights::widen(call, j0, j + c, k0, depth, wide + c * kStrip, scales);
      Dots::strip_of_dots(left, wide, kStrip, rows, count, depth, sums + j);
    }
  }
  for (int64_t i = 0; i < rows; ++i) {
    if (Weights::kScaledAtEnd)
      for (int64_t j = 0; j < n; ++j) sums[i * kMost + j] *= one_of(call.operand[3], j0 + j);
    Problem plain = p;
    plain.d.ndim = -1;
    write_row<float>(plain, sums + i * kMost, m0 + i, j0, n, false, buffer);
  }
}

template <class Weights>
void multiply_weights(const Call& call, const Range& range) {
  for (int64_t i = range.begin; i < range.end; ++i)
    for (int64_t m0 = 0; m0 < call.operand[0].sizes[1]; m0 += kRowsAtOnce)
      multiply_rows<Weights>(call, m0, i * call.ints[1], range.scratch);
}

TRN_REGISTER("matmul_weight_only", DType::i8, multiply_weights<Bytes>);
TRN_REGISTER("matmul_weight_only", DType::u8, multiply_weights<Nibbles>);

}  // namespace
}  // namespace trn
