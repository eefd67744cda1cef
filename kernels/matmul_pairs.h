// Blocked products of bfloat16, two elements of k at a time through the dot-product instruction:
// products are exact and summed in float32, tiny numbers as zero. Needs AVX512 with bfloat16.
#pragma once

#include <immintrin.h>

#include "matmul_thin.h"

namespace trn {
namespace {

using Units = Vec<uint32_t>::Type;
using Floats = Vec<float>::Type;

TRN_INLINE uint32_t low_bits(int64_t n) {
  return n >= 32 ? ~0u : (1u << n) - 1;
}

struct PairMath {
  using Source = bf16_t;
  using Unit = uint32_t;
  using Sum = float;
  static constexpr int64_t kPer = 2;
  static constexpr bool kBiased = false;

  TRN_INLINE static Units along(const bf16_t* p, int64_t n) {
    return (Units)_mm512_maskz_loadu_epi16(low_bits(n), p);
  }
  TRN_INLINE static Units across(const bf16_t* p, int64_t stride, int64_t n, int64_t depth) {
    const auto mask = static_cast<__mmask16>(low_bits(n));
    const __m512i even = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, p));
    if (depth < 2) return (Units)even;
    const __m512i odd = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, p + stride));
    return (Units)_mm512_or_si512(even, _mm512_slli_epi32(odd, 16));
  }
  TRN_INLINE static uint32_t gather(const bf16_t* p, int64_t step, int64_t depth) {
    return p[0].bits | (depth > 1 ? static_cast<uint32_t>(p[step].bits) << 16 : 0);
  }
  TRN_INLINE static Floats multiply(Floats sum, Units row, uint32_t x) {
    return (Floats)_mm512_dpbf16_ps((__m512)sum, (__m512bh)row,
                                    (__m512bh)_mm512_set1_epi32(static_cast<int>(x)));
  }
  TRN_INLINE static void finish(const Problem& p, float* sums, int64_t row, int64_t column,
                                int64_t n, float* buffer) {
    write_row<float>(p, sums, row, column, n, false, buffer);
  }
};

}  // namespace
}  // namespace trn
