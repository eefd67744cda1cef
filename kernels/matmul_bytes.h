// Blocked products of bytes, four elements of k at a time through the dot-product instruction.
// Needs AVX512 with VNNI.
#pragma once

#include "matmul_pairs.h"

namespace trn {
namespace {

using Ints = Vec<int32_t>::Type;

// The instruction multiplies unsigned by signed bytes: B is shifted by 128, and 128 times the sum
// of A's row is taken off.
struct ByteMath {
  using Source = int8_t;
  using Unit = uint32_t;
  using Sum = int32_t;
  using Result = int32_t;
  static constexpr int64_t kPer = 4;
  static constexpr bool kSettled = true, kDirect = true;

  TRN_INLINE static Units along(const int8_t* p, int64_t n) {
    const __mmask64 mask = n >= 64 ? ~0ull : (1ull << n) - 1;
    return (Units)_mm512_maskz_loadu_epi8(mask, p);
  }
  TRN_INLINE static Units across(const int8_t* p, int64_t stride, int64_t n, int64_t depth) {
    const auto mask = static_cast<__mmask16>(low_bits(n));
    __m512i unit = _mm512_setzero_si512();
    for (int i = 0; i < kPer && i < depth; ++i) {
      const __m512i row = _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(mask, p + i * stride));
      unit = _mm512_or_si512(unit, _mm512_slli_epi32(row, 8 * i));
    }
    return (Units)unit;
  }
  // Four rows of 32 bytes: pairs of rows, then pairs of pairs, are unpacked into each other.
  TRN_INLINE static void across_strip(uint32_t* to, const int8_t* p, int64_t stride,
                                      int64_t depth) {
    __m256i row[kPer];
    for (int i = 0; i < kPer; ++i)
      row[i] = i < depth ? _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + i * stride))
                         : _mm256_setzero_si256();
    const __m256i low[] = {_mm256_unpacklo_epi8(row[0], row[1]),
                           _mm256_unpacklo_epi8(row[2], row[3])};
    const __m256i high[] = {_mm256_unpackhi_epi8(row[0], row[1]),
                            _mm256_unpackhi_epi8(row[2], row[3])};
    // Columns 4 q to 4 q + 3, and 16 beyond them.
    const __m256i fours[] = {
        _mm256_unpacklo_epi16(low[0], low[1]), _mm256_unpackhi_epi16(low[0], low[1]),
        _mm256_unpacklo_epi16(high[0], high[1]), _mm256_unpackhi_epi16(high[0], high[1])};
    __m256i* out = reinterpret_cast<__m256i*>(to);
    _mm256_storeu_si256(out, _mm256_permute2x128_si256(fours[0], fours[1], 0x20));
    _mm256_storeu_si256(out + 1, _mm256_permute2x128_si256(fours[2], fours[3], 0x20));
    _mm256_storeu_si256(out + 2, _mm256_permute2x128_si256(fours[0], fours[1], 0x31));
    _mm256_storeu_si256(out + 3, _mm256_permute2x128_si256(fours[2], fours[3], 0x31));
  }
  TRN_INLINE static uint32_t gather(const int8_t* p, int64_t step, int64_t depth) {
    uint32_t unit = 0;
    for (int i = 0; i < kPer && i < depth; ++i)
      unit |= static_cast<uint32_t>(static_cast<uint8_t>(p[i * step])) << 8 * i;
    return unit;
  }
  TRN_INLINE static Units row_of(Units row) { return row ^ 0x80808080u; }
  TRN_INLINE static Ints multiply(Ints sum, Units row, uint32_t x) {
    return (Ints)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)row,
                                     _mm512_set1_epi32(static_cast<int>(x)));
  }
  TRN_INLINE static Ints sum_up(Ints sum, Units units) {
    return (Ints)_mm512_dpbusd_epi32((__m512i)sum, _mm512_set1_epi8(1), (__m512i)units);
  }
  TRN_INLINE static Ints settle(Ints sum, int32_t left, const int32_t*) { return sum - 128 * left; }
  template <int vectors>
  TRN_INLINE static void store(int32_t* to, const Ints (&sums)[vectors], int64_t n) {
#pragma GCC unroll 2
    for (int v = 0; v < vectors; ++v)
      _mm512_mask_storeu_epi32(to + 16 * v, static_cast<__mmask16>(low_bits(n - 16 * v)),
                               (__m512i)sums[v]);
  }
  TRN_INLINE static void finish(const Problem& p, int32_t* sums, int64_t row, int64_t column,
                                int64_t n, int32_t*) {
    int32_t* to = p.c.as<int32_t>() + row * p.c.strides[1] + column * p.c.strides[2];
    for (int64_t j = 0; j < n; ++j) to[j * p.c.strides[2]] = sums[j];
  }
};

}  // namespace
}  // namespace trn
