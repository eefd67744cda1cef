// Philox 4x32-10: random numbers as a pure function of seed, offset and position, so that the
// numbers do not depend on who computes them (Salmon, Moraes, Dror, Shaw, "Parallel random
// numbers: as easy as 1, 2, 3", 2011).
#pragma once

#include "convert.h"
#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace trn {
namespace {

constexpr uint32_t kPhiloxM0 = 0xD2511F53u, kPhiloxM1 = 0xCD9E8D57u;  // multipliers
constexpr uint32_t kPhiloxW0 = 0x9E3779B9u, kPhiloxW1 = 0xBB67AE85u;  // steps of the key

struct Philox4 {
  uint32_t v[4];
};

// Four words for counter (position, offset) under a seed.
TRN_INLINE Philox4 philox(uint64_t seed, uint64_t offset, uint64_t position) {
  uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
  uint32_t c0 = static_cast<uint32_t>(offset), c1 = static_cast<uint32_t>(offset >> 32);
  uint32_t c2 = static_cast<uint32_t>(position), c3 = static_cast<uint32_t>(position >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = static_cast<uint64_t>(kPhiloxM0) * c0;
    const uint64_t p1 = static_cast<uint64_t>(kPhiloxM1) * c2;
    const uint32_t n0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0;
    const uint32_t n2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
    c1 = static_cast<uint32_t>(p1);
    c3 = static_cast<uint32_t>(p0);
    c0 = n0;
    c2 = n2;
    k0 += kPhiloxW0;
    k1 += kPhiloxW1;
  }
  return {{c0, c1, c2, c3}};
}

// Lanes of 64 bits, of which arithmetic minds the lower 32.
typedef uint64_t Wide __attribute__((vector_size(kVectorBytes)));
#if defined(__AVX512F__)
TRN_INLINE Wide times(Wide a, Wide b) {
  return (Wide)_mm512_maskz_mul_epu32(0xff, (__m512i)a, (__m512i)b);
}
#elif defined(__AVX2__)
TRN_INLINE Wide times(Wide a, Wide b) { return (Wide)_mm256_mul_epu32((__m256i)a, (__m256i)b); }
#else
TRN_INLINE Wide times(Wide a, Wide b) { return (a & 0xffffffffu) * (b & 0xffffffffu); }
#endif

constexpr int kTileBlocks = 16, kTileWords = 4 * kTileBlocks;

// The words of counters position .. position + 15: first word 0 of each, then word 1, ...
TRN_INLINE void philox_tile(uint64_t seed, uint64_t offset, uint64_t position, uint32_t* out) {
  constexpr int kLanes = sizeof(Wide) / sizeof(uint64_t);
  typedef uint32_t Narrow __attribute__((vector_size(sizeof(Wide) / 2), aligned(4), may_alias));
  const Wide m0 = Wide{} + kPhiloxM0, m1 = Wide{} + kPhiloxM1;
  for (int b = 0; b < kTileBlocks; b += kLanes) {
    Wide c2;
    for (int k = 0; k < kLanes; ++k) c2[k] = position + static_cast<uint64_t>(b + k);
    Wide c0 = Wide{} + offset, c1 = c0 >> 32, c3 = c2 >> 32;
    uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
#pragma GCC unroll 10
    for (int round = 0; round < 10; ++round) {
      const Wide p0 = times(m0, c0), p1 = times(m1, c2);
      c0 = (p1 >> 32) ^ c1 ^ (Wide{} + k0);
      c2 = (p0 >> 32) ^ c3 ^ (Wide{} + k1);
      c1 = p1;
      c3 = p0;
      k0 += kPhiloxW0;
      k1 += kPhiloxW1;
    }
    const Wide words[4] = {c0, c1, c2, c3};
    for (int w = 0; w < 4; ++w)
      *reinterpret_cast<Narrow*>(out + w * kTileBlocks + b) =
          __builtin_convertvector(words[w], Narrow);
  }
}

// Words for the elements of a launch, a window of them at a time: element i has one in each of up
// to four planes. A tile's words go to 64 neighbouring elements, so none is drawn in vain.
struct Draws {
  static constexpr int64_t kWindow = 512;
  uint64_t seed, offset;
  int planes;
  int64_t from = 0, until = 0;  // the window
  uint32_t word[4][kWindow];

  TRN_INLINE Draws(uint64_t seed, uint64_t offset, int planes)
      : seed(seed), offset(offset), planes(planes) {}

  // How many elements from i on, no more than `most`, have their words at at(i), at(i) + 1, ...
  TRN_INLINE int64_t cover(int64_t i, int64_t most) {
    if (i >= until || i < from) {
      from = i - i % kTileWords;
      until = from;
      const int64_t end = i + most < from + kWindow ? i + most : from + kWindow;
      for (; until < end; until += kTileWords)
        for (int p = 0; p < planes; ++p)
          philox_tile(seed, offset,
                      static_cast<uint64_t>(until / 4) | static_cast<uint64_t>(p) << 60,
                      word[p] + (until - from));
    }
    return most < until - i ? most : until - i;
  }
  TRN_INLINE int64_t at(int64_t i) const { return i - from; }
  TRN_INLINE Philox4 operator[](int64_t k) const {
    return {{word[0][k], word[1][k], word[2][k], word[3][k]}};
  }
};

// Uniform in [0, 1): 24 bits for float, 53 for double.
TRN_INLINE float uniform_float(uint32_t x) { return static_cast<float>(x >> 8) * 0x1p-24f; }
TRN_INLINE double uniform_double(uint32_t high, uint32_t low) {
  const uint64_t bits = (static_cast<uint64_t>(high) << 32 | low) >> 11;
  return static_cast<double>(bits) * 0x1p-53;
}

}  // namespace
}  // namespace trn
