// Four registers of floats that go through a calculation side by side.
//
// A polynomial is a chain of steps that wait for each other. With four of them in turn the
// processor always has one to go on with, which it cannot find by looking ahead: that many steps do
// not fit its queues. Functions that are written for numbers V take a Wide as they take a float.
#pragma once

#if defined(__FMA__)
#include <immintrin.h>
#endif

#include "activations.h"
#include "fold.h"
#include "tile.h"

namespace trn {
namespace {

typedef uint32_t Bits __attribute__((vector_size(kVectorBytes), aligned(2), may_alias));

struct Wide {
  Floats a, b, c, d;
  Wide() = default;
  TRN_INLINE Wide(Floats a, Floats b, Floats c, Floats d) : a(a), b(b), c(c), d(d) {}
  TRN_INLINE explicit Wide(float x) : a(broadcast(x)), b(a), c(a), d(a) {}
};
constexpr int kWide = 4 * kLanes;

#define TRN_WIDE(op)                                         \
  TRN_INLINE Wide operator op(Wide x, Wide y) {              \
    return {x.a op y.a, x.b op y.b, x.c op y.c, x.d op y.d}; \
  }
// clang-format off
TRN_WIDE(+) TRN_WIDE(-) TRN_WIDE(*) TRN_WIDE(/);
// clang-format on
#undef TRN_WIDE
TRN_INLINE Wide operator-(Wide x) { return {-x.a, -x.b, -x.c, -x.d}; }

#define TRN_WIDE(name, op)                                                                   \
  TRN_INLINE Wide name(Wide x, Wide y, Wide yes, Wide no) {                                  \
    return {x.a op y.a ? yes.a : no.a, x.b op y.b ? yes.b : no.b, x.c op y.c ? yes.c : no.c, \
            x.d op y.d ? yes.d : no.d};                                                      \
  }
// clang-format off
TRN_WIDE(if_less, <) TRN_WIDE(if_at_most, <=);
// clang-format on
#undef TRN_WIDE

TRN_INLINE Bits bits_of(Floats x) { return reinterpret_cast<Bits>(x); }
TRN_INLINE Floats floats_of(Bits x) { return reinterpret_cast<Floats>(x); }
// f of each register's bits.
template <class F>
TRN_INLINE Wide by_bits(Wide x, F f) {
  return {floats_of(f(bits_of(x.a))), floats_of(f(bits_of(x.b))), floats_of(f(bits_of(x.c))),
          floats_of(f(bits_of(x.d)))};
}
TRN_INLINE Wide magnitude(Wide x) {
  return by_bits(x, [](Bits u) { return u & 0x7fffffffu; });
}
TRN_INLINE Wide mantissa(Wide x) {
  return by_bits(x, [](Bits u) { return (u & 0x007fffffu) | 0x3f000000u; });
}
TRN_INLINE Wide exponent(Wide x) {
  return by_bits(x, [](Bits u) { return u >> 23 | 0x4b000000u; }) - Wide(8388734.f);
}
TRN_INLINE Wide power_below(Wide x) {
  return by_bits(x, [](Bits u) { return u << 23; });
}
// The compiler makes a comparison and a choice of these where the limit is a constant.
#if defined(__AVX512F__)
#define TRN_WIDE(op, x, y)  \
  reinterpret_cast<Floats>( \
      _mm512_##op##_ps(reinterpret_cast<__m512>(x), reinterpret_cast<__m512>(y)))
#elif defined(__FMA__)
#define TRN_WIDE(op, x, y)  \
  reinterpret_cast<Floats>( \
      _mm256_##op##_ps(reinterpret_cast<__m256>(x), reinterpret_cast<__m256>(y)))
#else
#define TRN_WIDE(op, x, y) op(x, y)
TRN_INLINE Floats max(Floats x, Floats y) { return x > y ? x : y; }
TRN_INLINE Floats min(Floats x, Floats y) { return x < y ? x : y; }
#endif
TRN_INLINE Wide at_least(Wide x, Wide low) {
  return {TRN_WIDE(max, low.a, x.a), TRN_WIDE(max, low.b, x.b), TRN_WIDE(max, low.c, x.c),
          TRN_WIDE(max, low.d, x.d)};
}
TRN_INLINE Wide at_most(Wide x, Wide high) {
  return {TRN_WIDE(min, high.a, x.a), TRN_WIDE(min, high.b, x.b), TRN_WIDE(min, high.c, x.c),
          TRN_WIDE(min, high.d, x.d)};
}
#undef TRN_WIDE
TRN_INLINE Floats upper_half(Floats x) { return floats_of(bits_of(x) & 0xfffff000u); }
// What rounding took from p = a * b.
TRN_INLINE Floats rest_of_product(Floats a, Floats b, Floats p) {
#if defined(__AVX512F__)
  return reinterpret_cast<Floats>(_mm512_fmsub_ps(
      reinterpret_cast<__m512>(a), reinterpret_cast<__m512>(b), reinterpret_cast<__m512>(p)));
#elif defined(__FMA__)
  return reinterpret_cast<Floats>(_mm256_fmsub_ps(
      reinterpret_cast<__m256>(a), reinterpret_cast<__m256>(b), reinterpret_cast<__m256>(p)));
#else
  const Floats au = upper_half(a), bu = upper_half(b), al = a - au, bl = b - bu;
  return ((au * bu - p) + au * bl + al * bu) + al * bl;
#endif
}
TRN_INLINE Pair<Wide> exact_product(Wide x, Wide y) {
  const Wide p = x * y;
  return {p,
          {rest_of_product(x.a, y.a, p.a), rest_of_product(x.b, y.b, p.b),
           rest_of_product(x.c, y.c, p.c), rest_of_product(x.d, y.d, p.d)}};
}
TRN_INLINE Floats with_sign(Floats x, Floats sign) {
  return floats_of((bits_of(x) & 0x7fffffffu) | (bits_of(sign) & 0x80000000u));
}
TRN_INLINE Wide with_sign(Wide x, Wide s) {
  return {with_sign(x.a, s.a), with_sign(x.b, s.b), with_sign(x.c, s.c), with_sign(x.d, s.d)};
}

TRN_INLINE Floats times_power(Floats y, Floats n) {
#if defined(__AVX512F__)
  return reinterpret_cast<Floats>(
      _mm512_scalef_ps(reinterpret_cast<__m512>(y), reinterpret_cast<__m512>(n)));
#else
  const Ints k = reinterpret_cast<Ints>(n + kRounder) - bit_cast<int>(kRounder), half = k >> 1;
  const Ints rest = k - half;
  return y * floats_of(reinterpret_cast<Bits>((half + 127) << 23)) *
         floats_of(reinterpret_cast<Bits>((rest + 127) << 23));
#endif
}
TRN_INLINE Wide times_power(Wide y, Wide n) {
  return {times_power(y.a, n.a), times_power(y.b, n.b), times_power(y.c, n.c),
          times_power(y.d, n.d)};
}

TRN_INLINE Wide m_exp(Wide x) { return fast_exp(x); }
TRN_INLINE Wide m_expm1(Wide x) { return fast_expm1(x); }
TRN_INLINE Wide m_log(Wide x) { return fast_log(x); }
TRN_INLINE Wide m_log2(Wide x) { return fast_log2(x); }
TRN_INLINE Wide m_log10(Wide x) { return fast_log10(x); }
TRN_INLINE Wide m_log1p(Wide x) { return fast_log1p(x); }
// With the sign of zero, which the polynomial loses.
TRN_INLINE Wide m_tanh(Wide x) { return with_sign(fast_tanh(x), x); }
TRN_INLINE Wide m_sigmoid(Wide x) { return fast_sigmoid(x); }

TRN_INLINE Wide load_wide(const float* p) {
  return {load(p), load(p + kLanes), load(p + 2 * kLanes), load(p + 3 * kLanes)};
}
TRN_INLINE void store_wide(float* p, Wide x) {
  store(p, x.a);
  store(p + kLanes, x.b);
  store(p + 2 * kLanes, x.c);
  store(p + 3 * kLanes, x.d);
}
// Of bfloat16, neighbours come to lie in two registers, where no number has to change its lane.
TRN_INLINE Wide load_wide(const bf16_t* p) {
  const Bits *q = reinterpret_cast<const Bits*>(p), u = q[0], v = q[1];
  return {floats_of(u << 16), floats_of(u & 0xffff0000u), floats_of(v << 16),
          floats_of(v & 0xffff0000u)};
}
// Where number k of a Wide of S comes to lie when its registers are stored as floats.
template <class S>
constexpr int64_t lane_of(int64_t k) {
  if constexpr (__is_same(S, float)) return k;
  else return k / (2 * kLanes) * (2 * kLanes) + k % 2 * kLanes + k % (2 * kLanes) / 2;
}
// In the upper half of each lane; rounds as float_to_bf16 does.
TRN_INLINE Bits rounded_bits(Floats x) {
  const Bits u = bits_of(x);
#if defined(__AVX512F__)
  const __m512i v = reinterpret_cast<__m512i>(u), up = _mm512_set1_epi32(0x8000);
  const __mmask16 odd = _mm512_test_epi32_mask(v, _mm512_set1_epi32(0x10000));
  const __m512i near = _mm512_add_epi32(v, _mm512_set1_epi32(0x7fff));
  const __m512i rounded = _mm512_mask_add_epi32(near, odd, v, up);
  const __m512 w = reinterpret_cast<__m512>(x);
  return reinterpret_cast<Bits>(_mm512_mask_mov_epi32(
      rounded, _mm512_cmp_ps_mask(w, w, _CMP_UNORD_Q), _mm512_set1_epi32(0x7fc00000)));
#else
  const Bits rounded = u + 0x7fffu + ((u >> 16) & 1u);
  return x == x ? rounded : Bits{} + 0x7fc00000u;
#endif
}
TRN_INLINE Bits pair_bits(Floats first, Floats second) {
  return rounded_bits(first) >> 16 | (rounded_bits(second) & 0xffff0000u);
}
TRN_INLINE void store_wide(bf16_t* p, Wide x) {
  Bits* q = reinterpret_cast<Bits*>(p);
  q[0] = pair_bits(x.a, x.b);
  q[1] = pair_bits(x.c, x.d);
}

// The same for the first n numbers, if there are not more; the others are read as `otherwise`.
template <class S>
TRN_INLINE Wide load_wide(const S* p, int64_t n, float otherwise = 0) {
  if (n >= kWide) return load_wide(p);
  alignas(64) S spare[kWide];
  for (int64_t i = 0; i < kWide; ++i) spare[i] = i < n ? p[i] : S(otherwise);
  return load_wide(spare);
}
template <class S>
TRN_INLINE void store_wide(S* p, int64_t n, Wide x) {
  if (n >= kWide) return store_wide(p, x);
  alignas(64) S spare[kWide];
  store_wide(spare, x);
  __builtin_memcpy(p, spare, n * sizeof(S));
}

// out[i] = f(a, b, c) for i < n, of in[0][i], in[1][i], ...; the last of `arity` inputs stands for
// those that are missing. What is left over at the end goes through the same instructions, so where
// a range ends changes no bit.
template <int arity, class S, class F>
TRN_INLINE void by_wides(S* out, const S* const* in, int64_t n, F f) {
  const S *a = in[0], *b = in[arity > 1], *c = in[arity - 1];
  for (int64_t i = 0; i < n; i += kWide) {
    const Wide x = load_wide(a + i, n - i);
    const Wide y = arity > 1 ? load_wide(b + i, n - i) : x;
    const Wide z = arity > 2 ? load_wide(c + i, n - i) : y;
    store_wide(out + i, n - i, f(x, y, z));
  }
}

// The sum and the largest of all lanes, taken in one order. NaN is not the largest.
TRN_INLINE float sum_of(Wide x) {
  alignas(64) float lane[kLanes];
  store(lane, (x.a + x.b) + (x.c + x.d));
  return join_lanes<kLanes>(lane, [](auto a, auto b) { return a + b; });
}
TRN_INLINE float largest_of(Wide x) {
  alignas(64) float lane[kLanes];
  store(lane, larger(larger(x.a, x.b), larger(x.c, x.d)));
  return join_lanes<kLanes>(lane, [](auto a, auto b) { return a < b ? b : a; });
}

}  // namespace
}  // namespace trn
