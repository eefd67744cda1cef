// Vectors, register tiles and transposition: the innermost loops of products kept in scratch.
//
// Operands of a product are 32-bit words: a float, or, where the processor multiplies pairs of
// bfloat16, two neighbours along the depth of the product. One loop serves both; an arithmetic
// says what multiplying two words and adding means.
#pragma once

#if defined(__AVX512BF16__)
#include <immintrin.h>
#endif

#include <utility>

#include "convert.h"

namespace trn {
namespace {

// Register tile: kTileRows rows of kTileVectors vectors, as many as the registers hold beside one
// row of B.
constexpr int kTileRows = kVectorBytes == 64 ? 12 : kVectorBytes == 32 ? 6 : 4;
constexpr int kTileVectors = 2;
constexpr int kLanes = kVectorBytes / sizeof(float);

typedef float Floats __attribute__((vector_size(kVectorBytes), aligned(4), may_alias));
typedef int32_t Ints __attribute__((vector_size(kVectorBytes), aligned(4), may_alias));
typedef float Word __attribute__((may_alias));

TRN_INLINE Floats load(const Word* p) { return *reinterpret_cast<const Floats*>(p); }
TRN_INLINE void store(Word* p, Floats x) { *reinterpret_cast<Floats*>(p) = x; }
TRN_INLINE Floats broadcast(float x) { return x - Floats{}; }
TRN_INLINE Floats larger(Floats a, Floats b) { return a < b ? b : a; }

TRN_INLINE constexpr int64_t round_up(int64_t n, int64_t unit) {
  return (n + unit - 1) / unit * unit;
}

// 2^x for x <= 0, to 2 ULP; 0 below -126.5, NaN for NaN. Coefficients: Cephes.
TRN_INLINE Floats exp2_of_negative(Floats x) {
  const Floats low = x < -127.f ? broadcast(-127.f) : x;
  constexpr float kMagic = 12582912.f;  // 1.5 * 2^23: adding it rounds to an integer
  const Floats shifted = low + kMagic;
  const Floats r = low - (shifted - kMagic);
  Floats p = broadcast(1.535336188319500e-4f);
  p = p * r + 1.339887440266574e-3f;
  p = p * r + 9.618437357674640e-3f;
  p = p * r + 5.550332471162809e-2f;
  p = p * r + 2.402264791363012e-1f;
  p = p * r + 6.931472028550421e-1f;
  p = p * r + 1.f;
  return p * reinterpret_cast<Floats>((reinterpret_cast<Ints>(shifted) + 127) << 23);
}

// Words are floats.
struct FloatWords {
  static constexpr int kNumbers = 1;  // along the depth, in a word
  static TRN_INLINE Floats add_product(Floats sum, Floats b, float a) { return sum + b * a; }
};

#if defined(__AVX512BF16__)
// Words are pairs of bfloat16; products are exact and sums are floats.
struct PairWords {
  static constexpr int kNumbers = 2;
  static TRN_INLINE Floats add_product(Floats sum, Floats b, float a) {
    return reinterpret_cast<Floats>(
        _mm512_dpbf16_ps(reinterpret_cast<__m512>(sum), reinterpret_cast<__m512bh>(b),
                         reinterpret_cast<__m512bh>(_mm512_set1_ps(a))));
  }
  // The numbers of two vectors, rounded: those of one after those of the other, or in pairs.
  static TRN_INLINE Floats row(Floats first, Floats second) {
    return reinterpret_cast<Floats>(
        _mm512_cvtne2ps_pbh(reinterpret_cast<__m512>(second), reinterpret_cast<__m512>(first)));
  }
  static TRN_INLINE Floats pairs(Floats first, Floats second) {
    alignas(64) static constexpr uint16_t kOrder[32] = {0,  16, 1,  17, 2,  18, 3,  19, 4,  20, 5,
                                                        21, 6,  22, 7,  23, 8,  24, 9,  25, 10, 26,
                                                        11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    return reinterpret_cast<Floats>(_mm512_permutexvar_epi16(
        _mm512_load_si512(kOrder), reinterpret_cast<__m512i>(row(first, second))));
  }
};
#endif

// c[r][..] = or += the sum over p < depth of a[r][p] times the vectors b[p][..], for one register
// tile. A lies with its rows `lda` apart, or, if kDown, its depth does.
template <class Words, int kVectors, bool kDown>
TRN_INLINE void multiply_tile(const Word* a, int64_t lda, const Word* b, int64_t ldb, int64_t depth,
                              float* c, int64_t ldc, bool add) {
  Floats sum[kTileRows][kVectors] = {};
  // Rows are reached from every third, so that addresses take few registers.
  const Word* third[(kTileRows + 2) / 3];
  for (int r = 0; r < kTileRows; r += 3) third[r / 3] = a + r * lda;
  for (int64_t p = 0; p < depth; ++p) {
    Floats row[kVectors];
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) row[v] = load(b + v * kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < kTileRows; ++r) {
      const float x = kDown ? a[r] : third[r / 3][r % 3 * lda + p];
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) sum[r][v] = Words::add_product(sum[r][v], row[v], x);
    }
    if (kDown) a += lda;
    b += ldb;
  }
#pragma GCC unroll 16
  for (int r = 0; r < kTileRows; ++r)
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) {
      float* to = c + r * ldc + v * kLanes;
      store(to, add ? load(to) + sum[r][v] : sum[r][v]);
    }
}

struct Extent {
  int64_t begin, end;
};

// C = or += A B, tile by tile; extent(i, j) is the part of the depth that matters to the tile at
// row i and column j. Rows are computed up to a multiple of kTileRows, columns of kLanes: memory
// there is readable and writable.
template <class Words, bool kDown, class F>
void multiply(const Word* a, int64_t lda, const Word* b, int64_t ldb, float* c, int64_t ldc,
              int64_t rows, int64_t columns, bool add, F extent) {
  for (int64_t j = 0; j < columns; j += kTileVectors * kLanes) {
    const bool narrow = columns - j <= kLanes;
    for (int64_t i = 0; i < rows; i += kTileRows) {
      const Extent e = extent(i, j);
      const int64_t depth = e.end > e.begin ? e.end - e.begin : 0;
      if (add && depth == 0) continue;
      const Word* left = kDown ? a + e.begin * lda + i : a + i * lda + e.begin;
      const Word* right = b + e.begin * ldb + j;
      float* to = c + i * ldc + j;
      if (narrow) multiply_tile<Words, 1, kDown>(left, lda, right, ldb, depth, to, ldc, add);
      else multiply_tile<Words, kTileVectors, kDown>(left, lda, right, ldb, depth, to, ldc, add);
    }
  }
}

template <int... k>
TRN_INLINE Floats low_halves(Floats a, Floats b, std::integer_sequence<int, k...>) {
  return __builtin_shufflevector(a, b, (k / 2 + k % 2 * kLanes)...);
}
template <int... k>
TRN_INLINE Floats high_halves(Floats a, Floats b, std::integer_sequence<int, k...>) {
  return __builtin_shufflevector(a, b, (kLanes / 2 + k / 2 + k % 2 * kLanes)...);
}

// to[c][r] = factor * from[r][c]; whole blocks of kLanes x kLanes words, so both sides are padded.
// Shuffling rows half a block apart into each other log2(kLanes) times transposes a block.
template <bool kScale>
void transpose(const Word* from, int64_t ldf, Word* to, int64_t ldt, int64_t rows, int64_t columns,
               float factor) {
  constexpr auto kSequence = std::make_integer_sequence<int, kLanes>{};
  for (int64_t i = 0; i < rows; i += kLanes)
    for (int64_t j = 0; j < columns; j += kLanes) {
      Floats x[kLanes], y[kLanes];
#pragma GCC unroll 16
      for (int r = 0; r < kLanes; ++r) x[r] = load(from + (i + r) * ldf + j);
#pragma GCC unroll 4
      for (int half = 1; half < kLanes; half *= 2) {
#pragma GCC unroll 8
        for (int r = 0; r < kLanes / 2; ++r) {
          y[2 * r] = low_halves(x[r], x[r + kLanes / 2], kSequence);
          y[2 * r + 1] = high_halves(x[r], x[r + kLanes / 2], kSequence);
        }
#pragma GCC unroll 16
        for (int r = 0; r < kLanes; ++r) x[r] = y[r];
      }
#pragma GCC unroll 16
      for (int r = 0; r < kLanes; ++r) store(to + (j + r) * ldt + i, kScale ? x[r] * factor : x[r]);
    }
}

}  // namespace
}  // namespace trn
