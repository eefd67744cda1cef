// A register of numbers of a kernel's type, stored as S, and of their places.
#pragma once

#if defined(__F16C__)
#include <immintrin.h>
#endif

#include "convert.h"

namespace trn {
namespace {

template <class A>
struct PlaceOf {
  using type = int32_t;
};
template <>
struct PlaceOf<double> {
  using type = int64_t;
};

template <class S>
struct Numbers {
  using A = acc_t<S>;
  using Place = typename PlaceOf<A>::type;
  static constexpr int kEach = kVectorBytes / sizeof(A);
  typedef A V __attribute__((vector_size(kVectorBytes), aligned(alignof(A)), may_alias));
  typedef Place P __attribute__((vector_size(kVectorBytes), aligned(alignof(A)), may_alias));

  TRN_INLINE static V all(A x) { return x - V{}; }
  TRN_INLINE static P all_places(int64_t x) { return P{} + static_cast<Place>(x); }

  TRN_INLINE static V load(const S* p) {
    if constexpr (__is_same(S, A)) {
      return *reinterpret_cast<const V*>(p);
    } else if constexpr (__is_same(S, bf16_t)) {
      const Half half = *reinterpret_cast<const Half*>(p);
      return reinterpret_cast<V>(__builtin_convertvector(half, Bits) << 16);
    } else {
#if defined(__AVX512F__)
      const __m256i half = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
      return reinterpret_cast<V>(_mm512_cvtph_ps(half));
#elif defined(__F16C__)
      const __m128i half = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
      return reinterpret_cast<V>(_mm256_cvtph_ps(half));
#else
      V x;
      for (int i = 0; i < kEach; ++i) x[i] = p[i];
      return x;
#endif
    }
  }
  TRN_INLINE static void store(S* p, V x) {
    if constexpr (__is_same(S, A)) {
      *reinterpret_cast<V*>(p) = x;
    } else if constexpr (__is_same(S, bf16_t)) {
      const Bits u = reinterpret_cast<Bits>(x), rounded = u + 0x7fffu + ((u >> 16) & 1u);
      const Bits bits = x == x ? rounded : Bits{} + 0x7fc00000u;
      *reinterpret_cast<Half*>(p) = __builtin_convertvector(bits >> 16, Half);
    } else {
#if defined(__AVX512F__)
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                          _mm512_cvtps_ph(reinterpret_cast<__m512>(x), 0));
#elif defined(__F16C__)
      _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                       _mm256_cvtps_ph(reinterpret_cast<__m256>(x), 0));
#else
      for (int i = 0; i < kEach; ++i) p[i] = S(x[i]);
#endif
    }
  }
  // The same for the first n, if there are not more.
  TRN_INLINE static V load(const S* p, int64_t n) {
    if (n >= kEach) return load(p);
    S spare[kEach] = {};
    for (int64_t i = 0; i < n; ++i) spare[i] = p[i];
    return load(spare);
  }
  TRN_INLINE static void store(S* p, int64_t n, V x) {
    if (n >= kEach) return store(p, x);
    S spare[kEach];
    store(spare, x);
    for (int64_t i = 0; i < n; ++i) p[i] = spare[i];
  }

  // Places are wide in memory.
  TRN_INLINE static P load_places(const int64_t* p, int64_t n) {
    if (n >= kEach) return __builtin_convertvector(*reinterpret_cast<const Indices*>(p), P);
    P x = all_places(-1);
    for (int64_t i = 0; i < n; ++i) x[i] = static_cast<Place>(p[i]);
    return x;
  }
  TRN_INLINE static void store_places(int64_t* p, int64_t n, P x) {
    if (n >= kEach) {
      *reinterpret_cast<Indices*>(p) = __builtin_convertvector(x, Indices);
      return;
    }
    for (int64_t i = 0; i < n; ++i) p[i] = x[i];
  }

  // What max pooling keeps: the larger, and where it was met first; NaN wins.
  TRN_INLINE static void keep_larger(V& best, P& at, V x, P place) {
    at = x > best ? place : at;
    best = x > best ? x : best;
    at = x != x ? place : at;
    best = x != x ? x : best;
  }

 private:
  typedef uint32_t Bits __attribute__((vector_size(kVectorBytes)));
  typedef uint16_t Half __attribute__((vector_size(kVectorBytes / 2), aligned(2), may_alias));
  typedef int64_t Indices __attribute__((vector_size(kEach * 8), aligned(8), may_alias));
};

}  // namespace
}  // namespace trn
