// What functions of numbers V are made of, and exponentials.
#pragma once

#include <cmath>

#include "convert.h"

namespace trn {
namespace {

// What functions written once for numbers V (a float, or a Wide of them; see wide.h) are made of.
template <class T>
TRN_INLINE T if_less(T x, T y, T yes, T no) {
  return x < y ? yes : no;
}
template <class T>
TRN_INLINE T if_at_most(T x, T y, T yes, T no) {
  return x <= y ? yes : no;
}
// x, or the limit beyond which it lies; NaN stays.
template <class V>
TRN_INLINE V at_least(V x, V low) {
  return if_less(x, low, low, x);
}
template <class V>
TRN_INLINE V at_most(V x, V high) {
  return if_less(high, x, high, x);
}
// The polynomial of x whose coefficients these are, that of the highest power first.
template <class V, class C, class... More>
TRN_INLINE V horner(V x, C highest, More... more) {
  V p(highest);
  ((p = p * x + V(more)), ...);
  return p;
}
TRN_INLINE float magnitude(float x) { return __builtin_fabsf(x); }
TRN_INLINE float with_sign(float x, float sign) { return __builtin_copysignf(x, sign); }
// m and e of a normal positive x = m 2^e, 1/2 <= m < 1.
TRN_INLINE float mantissa(float x) {
  return bit_cast<float>((bit_cast<uint32_t>(x) & 0x007fffffu) | 0x3f000000u);
}
TRN_INLINE float exponent(float x) {  // by 2^23, below which it comes to lie
  return bit_cast<float>(bit_cast<uint32_t>(x) >> 23 | 0x4b000000u) - 8388734.f;
}
// 2^(k - 127) of x = kRounder + k.
TRN_INLINE float power_below(float x) { return bit_cast<float>(bit_cast<uint32_t>(x) << 23); }

constexpr float kRounder = 12582912.f;  // 1.5 * 2^23: adding it rounds to an integer
TRN_INLINE float round_to_int(float x) { return (x + kRounder) - kRounder; }
TRN_INLINE float power_of_two(int n) {  // -126 <= n <= 127
  return bit_cast<float>((n + 127) << 23);
}
// y 2^n for a whole number n, -252 <= n <= 254, rounded once if y is near 1.
TRN_INLINE float times_power(float y, float n) {
  const int k = bit_cast<int>(n + kRounder) - bit_cast<int>(kRounder), half = k >> 1;
  return y * power_of_two(half) * power_of_two(k - half);
}

// (exp(r) - 1 - r) / r^2 for |r| <= log(2) / 2 and a little more; exp is good to 4e-9; minimax.
template <class V>
TRN_INLINE V exp_second(V r) {
  return horner(r, 1.3820772292e-3f, 8.3692492917e-3f, 4.1668280959e-2f, 1.6666516662e-1f,
                4.9999994040e-1f);
}
// exp(r) - 1 and exp(r) of the same r.
template <class V>
TRN_INLINE V exp_rest(V r) {
  return exp_second(r) * (r * r) + r;
}
template <class V>
TRN_INLINE V exp_near_0(V r) {
  return (exp_second(r) * r + V(1.f)) * r + V(1.f);
}
// x as n log(2) + rest, rounded = rounder + n, for a rounder of kRounder and a whole number.
template <class V>
struct Reduced {
  V rounded, n, rest;
};
template <class V>
TRN_INLINE Reduced<V> by_log_2(V x, V rounder) {
  const V rounded = x * V(1.44269504088896341f) + rounder, n = rounded - rounder;
  return {rounded, n, (x - n * V(0.693359375f)) - n * V(-2.12194440e-4f)};
}
// exp(x + little) 2^k for a rounder of kRounder + 127 + k, where that is a normal number; else any.
template <class V>
TRN_INLINE V scaled_exp(V x, V little, V rounder) {
  const Reduced<V> r = by_log_2(x, rounder);
  return exp_near_0(r.rest + little) * power_below(r.rounded);
}

// Exponentials of negative numbers are kept 2^32 times as large, so that none is subnormal and what
// is made of them rounds once, at the end.
constexpr float kRaise = 0x1p32f, kLower = 0x1p-32f;
// 2^32 exp(x + little) for x <= 0 and little beside it or beside 1; 0 from -110 on.
template <class V>
TRN_INLINE V raised_exp(V x, V little = V(0.f)) {
  return scaled_exp(at_least(x, V(-110.f)), little, V(kRounder + 127 + 32));
}

template <class V>
TRN_INLINE V fast_exp(V x) {
  // What lies beyond these is 0 or infinite already.
  const V within = at_least(at_most(x, V(89.f)), V(-104.f));
  const Reduced<V> r = by_log_2(within, V(kRounder));
  return times_power(exp_near_0(r.rest), r.n);
}

template <class V>
TRN_INLINE V fast_tanh(V x) {
  const V a = magnitude(x), z = x * x;
  const V p = horner(z, -5.70498872745e-3f, 2.06390887954e-2f, -5.37397155531e-2f,
                     1.33314422036e-1f, -3.33332819422e-1f);
  const V small = p * z * x + x;
  const V e = raised_exp(a * V(-2.f)) * V(kLower);
  const V large = with_sign((V(1.f) - e) / (V(1.f) + e), x);
  return if_less(a, V(0.625f), small, large);
}

// By exp(-|x|), which cannot overflow.
template <class V>
TRN_INLINE V fast_sigmoid(V x) {
  const V e = raised_exp(-magnitude(x));
  return if_less(x, V(0.f), e, V(kRaise)) / (V(1.f) + e * V(kLower)) * V(kLower);
}
// exp(x) - 1 as 2^n (exp(r) - 1) + (2^n - 1), in which nothing cancels.
template <class V>
TRN_INLINE V fast_expm1(V x) {
  const V within = at_least(at_most(x, V(80.f)), V(-20.f));
  const Reduced<V> r = by_log_2(within, V(kRounder + 127));
  const V scale = power_below(r.rounded), y = exp_rest(r.rest) * scale + (scale - V(1.f));
  return if_at_most(magnitude(x), V(0.f), x, if_less(V(80.f), x, fast_exp(x), y));
}

}  // namespace
}  // namespace trn
