// Scalar functions in a form that compilers vectorise: no branch, no call, float in and out.
//
// float has its own polynomials where speed matters (Cody-Waite reductions and minimax
// coefficients of the Cephes library, at most 2 ULP; tests/kernels measures them); the rest and
// all of double are the C library's.
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
TRN_INLINE float magnitude(float x) { return __builtin_fabsf(x); }
TRN_INLINE float with_sign(float x, float sign) { return __builtin_copysignf(x, sign); }
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
  V p = V(1.3820772292e-3f);
  p = p * r + V(8.3692492917e-3f);
  p = p * r + V(4.1668280959e-2f);
  p = p * r + V(1.6666516662e-1f);
  return p * r + V(4.9999994040e-1f);
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

TRN_INLINE float fast_log(float x) {
  const bool tiny = x < 1.17549435e-38f;
  const float scaled = tiny ? x * 8388608.f : x;
  const uint32_t bits = bit_cast<uint32_t>(scaled);
  int e = static_cast<int>(bits >> 23) - 126 - (tiny ? 23 : 0);
  float m = bit_cast<float>((bits & 0x007fffffu) | 0x3f000000u);  // [0.5, 1)
  const bool below = m < 0.707106781186547524f;
  e -= below;
  m = below ? m + m : m;
  const float z = m - 1.f;
  float p = 7.0376836292e-2f;
  p = p * z - 1.1514610310e-1f;
  p = p * z + 1.1676998740e-1f;
  p = p * z - 1.2420140846e-1f;
  p = p * z + 1.4249322787e-1f;
  p = p * z - 1.6668057665e-1f;
  p = p * z + 2.0000714765e-1f;
  p = p * z - 2.4999993993e-1f;
  p = p * z + 3.3333331174e-1f;
  const float n = static_cast<float>(e);
  float y = p * z * (z * z);
  y = y + n * -2.12194440e-4f;
  y = y - 0.5f * (z * z);
  float r = (z + y) + n * 0.693359375f;
  r = x == __builtin_inff() ? x : r;
  r = x == 0.f ? -__builtin_inff() : r;
  return x < 0.f || x != x ? __builtin_nanf("") : r;
}

template <class V>
TRN_INLINE V fast_tanh(V x) {
  const V a = magnitude(x), z = x * x;
  V p = V(-5.70498872745e-3f);
  p = p * z + V(2.06390887954e-2f);
  p = p * z - V(5.37397155531e-2f);
  p = p * z + V(1.33314422036e-1f);
  p = p * z - V(3.33332819422e-1f);
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
TRN_INLINE float fast_expm1(float x) {
  const float low = x < -20.f ? -20.f : x;
  const float c = low > 80.f ? 80.f : low;
  const Reduced<float> r = by_log_2(c, kRounder);
  const float scale = power_of_two(static_cast<int>(r.n));
  const float y = exp_rest(r.rest) * scale + (scale - 1.f);
  return x == 0.f ? x : x > 80.f ? fast_exp(x) : x < -20.f ? -1.f : y;
}

struct Turned {
  float cosine, sine;
};
// Of v turns, 0 <= v <= 1: the quarter is taken off exactly.
TRN_INLINE Turned of_turns(float v) {
  const float quarters = v * 4.f, n = round_to_int(quarters);
  const float r = (quarters - n) * 1.57079632679489662f, z = r * r;
  float s = -1.9515295891e-4f;
  s = s * z + 8.3321608736e-3f;
  s = s * z - 1.6666654611e-1f;
  s = s * z * r + r;
  float c = 2.443315711809948e-5f;
  c = c * z - 1.388731625493765e-3f;
  c = c * z + 4.166664568298827e-2f;
  c = c * z * z - 0.5f * z + 1.f;
  const int k = static_cast<int>(n);
  const float cosine = k & 1 ? s : c, sine = k & 1 ? c : s;
  return {(k + 1) & 2 ? -cosine : cosine, k & 2 ? -sine : sine};
}

// Sine of x + quadrant * pi/2, reduced in double; good to 1 ULP for |x| < 1e5.
TRN_INLINE float fast_sine(float x, int quadrant) {
  const double v = x;
  constexpr double kMagic = 6755399441055744.0;  // 1.5 * 2^52
  const double shifted = v * 0.63661977236758134 + kMagic;
  const double n = shifted - kMagic;
  const int k = static_cast<int>(n) + quadrant;
  const double r = (v - n * 1.5707963267948966) - n * 6.123233995736766e-17;
  const double z = r * r;
  double s = 2.7557319223985893e-06;
  s = s * z - 1.9841269841269841e-04;
  s = s * z + 8.3333333333333332e-03;
  s = s * z - 1.6666666666666666e-01;
  const double sine = r + s * z * r;
  double c = -2.7557319223985888e-07;
  c = c * z + 2.4801587301587302e-05;
  c = c * z - 1.3888888888888889e-03;
  c = c * z + 4.1666666666666664e-02;
  const double cosine = 1.0 - 0.5 * z + c * z * z;
  const double value = k & 1 ? cosine : sine;
  return static_cast<float>(k & 2 ? -value : value);
}

// One name for both real types, so that a row's expression reads the same for each.
TRN_INLINE float m_exp(float x) { return fast_exp(x); }
TRN_INLINE double m_exp(double x) { return __builtin_exp(x); }
TRN_INLINE float m_log(float x) { return fast_log(x); }
TRN_INLINE double m_log(double x) { return __builtin_log(x); }
TRN_INLINE float m_tanh(float x) { return fast_tanh(x); }
TRN_INLINE double m_tanh(double x) { return __builtin_tanh(x); }
TRN_INLINE float m_sigmoid(float x) { return fast_sigmoid(x); }
TRN_INLINE double m_sigmoid(double x) { return 1.0 / (1.0 + __builtin_exp(-x)); }
TRN_INLINE float m_expm1(float x) { return fast_expm1(x); }
TRN_INLINE double m_expm1(double x) { return __builtin_expm1(x); }

#define TRN_LIBM1(name)                                                 \
  TRN_INLINE float m_##name(float x) { return __builtin_##name##f(x); } \
  TRN_INLINE double m_##name(double x) { return __builtin_##name(x); }
// clang-format off
TRN_LIBM1(acos) TRN_LIBM1(acosh) TRN_LIBM1(asin) TRN_LIBM1(asinh) TRN_LIBM1(atan)
TRN_LIBM1(atanh) TRN_LIBM1(cosh) TRN_LIBM1(sinh) TRN_LIBM1(tan) TRN_LIBM1(sin) TRN_LIBM1(cos)
TRN_LIBM1(log2) TRN_LIBM1(log10) TRN_LIBM1(log1p) TRN_LIBM1(exp2)
TRN_LIBM1(sqrt) TRN_LIBM1(floor) TRN_LIBM1(ceil) TRN_LIBM1(trunc) TRN_LIBM1(nearbyint)
TRN_LIBM1(fabs);
// clang-format on
#undef TRN_LIBM1
TRN_INLINE float m_erfc(float x) { return static_cast<float>(__builtin_erfc(x)); }
TRN_INLINE double m_erfc(double x) { return __builtin_erfc(x); }
#define TRN_LIBM2(name)                                                             \
  TRN_INLINE float m_##name(float x, float y) { return __builtin_##name##f(x, y); } \
  TRN_INLINE double m_##name(double x, double y) { return __builtin_##name(x, y); }
// clang-format off
TRN_LIBM2(atan2) TRN_LIBM2(pow) TRN_LIBM2(fmod) TRN_LIBM2(hypot) TRN_LIBM2(nextafter)
TRN_LIBM2(copysign);
// clang-format on
#undef TRN_LIBM2

template <class T>
TRN_INLINE bool is_nan(T x) {
  return x != x;
}
template <class T>
TRN_INLINE T infinity() {
  return static_cast<T>(__builtin_inf());
}
template <class T>
TRN_INLINE T not_a_number() {
  return static_cast<T>(__builtin_nan(""));
}

}  // namespace
}  // namespace trn
