// Blocked products of bfloat16, two elements of k at a time through the dot-product instruction:
// products are exact and summed in float32, tiny numbers as zero. Needs AVX512 with bfloat16.
#pragma once

#include <immintrin.h>

#include "matmul_thin.h"

namespace trn {
namespace {

using Units = Vec<uint32_t>::Type;
using Floats = Vec<float>::Type;

// The permutation that pairs elements [first, first + 16) of two vectors.
TRN_INLINE __m512i interleaved(int first) {
  typedef int16_t Words __attribute__((vector_size(64)));
  Words w;
  for (int i = 0; i < 32; ++i) w[i] = static_cast<int16_t>(first + i / 2 + (i & 1 ? 32 : 0));
  return (__m512i)w;
}
// Columns of two rows of bfloat16, `stride` apart, side by side; of the last row and zeros where
// there is but one. Up to 16 of them, those in `mask`, or 32.
TRN_INLINE Units pairs_across(const bf16_t* p, int64_t stride, __mmask16 mask, int64_t depth) {
  const __m512i even = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, p));
  if (depth < 2) return (Units)even;
  const __m512i odd = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, p + stride));
  return (Units)_mm512_or_si512(even, _mm512_slli_epi32(odd, 16));
}
TRN_INLINE void pairs_of_strip(Units* to, const bf16_t* p, int64_t stride, int64_t depth) {
  const __m512i even = _mm512_loadu_si512(p);
  const __m512i odd = depth < 2 ? _mm512_setzero_si512() : _mm512_loadu_si512(p + stride);
  to[0] = (Units)_mm512_permutex2var_epi16(even, interleaved(0), odd);
  to[1] = (Units)_mm512_permutex2var_epi16(even, interleaved(16), odd);
}

TRN_INLINE uint32_t low_bits(int64_t n) { return n >= 32 ? ~0u : (1u << n) - 1; }

// Dot products of the thin factor's rows, left in bfloat16, with columns of y.
struct PairDots {
  using Left = bf16_t;

  template <int rows, int columns>
  static void dots(const bf16_t* left, int64_t row, const bf16_t* y, int64_t column, int64_t depth,
                   float* sums, int64_t most) {
    __m512 sum[rows][columns] = {};
    for (int64_t q = 0; q < depth; q += 32) {
      const uint32_t mask = low_bits(depth - q);
      __m512bh v[columns];
#pragma GCC unroll 4
      for (int j = 0; j < columns; ++j) {
        v[j] = (__m512bh)_mm512_maskz_loadu_epi16(mask, y + j * column + q);
        __builtin_prefetch(y + (columns + j) * column + q, 0, 2);  // for the next columns
      }
#pragma GCC unroll 4
      for (int i = 0; i < rows; ++i) {
        const __m512bh x = (__m512bh)_mm512_maskz_loadu_epi16(mask, left + i * row + q);
#pragma GCC unroll 4
        for (int j = 0; j < columns; ++j) sum[i][j] = _mm512_dpbf16_ps(sum[i][j], x, v[j]);
      }
    }
#pragma GCC unroll 4
    for (int i = 0; i < rows; ++i)
#pragma GCC unroll 4
      for (int j = 0; j < columns; ++j)
        sums[i * most + j] += PlainDots<bf16_t, float>::total((Floats)sum[i][j]);
  }

  // As PlainDots has it: neighbours of k are interleaved in registers, 32 columns at a time or 16.
  template <int rows, int vectors, bool first>
  static void update(const bf16_t* left, int64_t row, const bf16_t* y, int64_t step, int64_t depth,
                     int64_t ahead, float* sums, int64_t most) {
    __m512 sum[rows][vectors];
    for (int i = 0; i < rows; ++i)
      for (int v = 0; v < vectors; ++v) sum[i][v] = _mm512_loadu_ps(sums + i * most + 16 * v);
    for (int64_t q = 0; q < depth; q += 2) {
      Units pairs[vectors];
      const bf16_t* at = y + q * step;
      interleave<vectors>(pairs, at, step, depth - q);
      for (int v = 0; first && v < vectors; v += 2) {
        __builtin_prefetch(at + ahead * step + 16 * v, 0, 2);
        __builtin_prefetch(at + (ahead + 1) * step + 16 * v, 0, 2);
      }
#pragma GCC unroll 4
      for (int i = 0; i < rows; ++i) {
        const __m512i x = _mm512_set1_epi32(pair_of(left + i * row + q, depth - q));
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v)
          sum[i][v] = _mm512_dpbf16_ps(sum[i][v], (__m512bh)pairs[v], (__m512bh)x);
      }
    }
    for (int i = 0; i < rows; ++i)
      for (int v = 0; v < vectors; ++v) _mm512_storeu_ps(sums + i * most + 16 * v, sum[i][v]);
  }

 private:
  // Two neighbours, or the last one and zero.
  TRN_INLINE static int pair_of(const bf16_t* p, int64_t depth) {
    return static_cast<int>(p[0].bits | (depth > 1 ? static_cast<uint32_t>(p[1].bits) << 16 : 0));
  }
  template <int vectors>
  TRN_INLINE static void interleave(Units* pairs, const bf16_t* p, int64_t step, int64_t depth) {
    if constexpr (vectors == 1) {
      pairs[0] = pairs_across(p, step, 0xffff, depth);
    } else {
#pragma GCC unroll 4
      for (int v = 0; v < vectors; v += 2) pairs_of_strip(pairs + v, p + 16 * v, step, depth);
    }
  }
};

struct PairMath {
  using Source = bf16_t;
  using Unit = uint32_t;
  using Sum = float;
  using Result = bf16_t;
  static constexpr int64_t kPer = 2;
  static constexpr bool kSettled = false, kDirect = true;

  TRN_INLINE static Units along(const bf16_t* p, int64_t n) {
    return (Units)_mm512_maskz_loadu_epi16(low_bits(n), p);
  }
  TRN_INLINE static Units across(const bf16_t* p, int64_t stride, int64_t n, int64_t depth) {
    return pairs_across(p, stride, static_cast<__mmask16>(low_bits(n)), depth);
  }
  TRN_INLINE static void across_strip(uint32_t* to, const bf16_t* p, int64_t stride,
                                      int64_t depth) {
    Units pairs[2];
    pairs_of_strip(pairs, p, stride, depth);
    _mm512_storeu_si512(to, (__m512i)pairs[0]);
    _mm512_storeu_si512(to + 16, (__m512i)pairs[1]);
  }
  TRN_INLINE static uint32_t gather(const bf16_t* p, int64_t step, int64_t depth) {
    return p[0].bits | (depth > 1 ? static_cast<uint32_t>(p[step].bits) << 16 : 0);
  }
  TRN_INLINE static Units row_of(Units row) { return row; }
  TRN_INLINE static Floats multiply(Floats sum, Units row, uint32_t x) {
    return (Floats)_mm512_dpbf16_ps((__m512)sum, (__m512bh)row,
                                    (__m512bh)_mm512_set1_epi32(static_cast<int>(x)));
  }
  TRN_INLINE static void store(bf16_t* to, const Floats (&sums)[2], int64_t n) {
    const __m512i pairs = (__m512i)_mm512_cvtne2ps_pbh((__m512)sums[1], (__m512)sums[0]);
    _mm512_mask_storeu_epi16(to, low_bits(n), pairs);
  }
  TRN_INLINE static void store(bf16_t* to, const Floats (&sums)[1], int64_t n) {
    const __m256i halves = (__m256i)_mm512_cvtneps_pbh((__m512)sums[0]);
    _mm256_mask_storeu_epi16(to, static_cast<__mmask16>(low_bits(n)), halves);
  }
  // Two vectors of sums, rounded.
  TRN_INLINE static void store(bf16_t* to, const float* sums) {
    const __m512bh v = _mm512_cvtne2ps_pbh(_mm512_loadu_ps(sums + 16), _mm512_loadu_ps(sums));
    _mm512_storeu_si512(to, (__m512i)v);
  }
  TRN_INLINE static void finish(const Problem& p, float* sums, int64_t row, int64_t column,
                                int64_t n, float* buffer) {
    write_row<float>(p, sums, row, column, n, false, buffer);
  }
};

}  // namespace
}  // namespace trn
