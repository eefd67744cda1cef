// silu, mish and gelu of a number V (a float or a Wide of them), small results to their last
// digits.
//
// What an exponential is multiplied by is multiplied before it is brought down to its size, so that
// a subnormal result is rounded once; exponents of up to 100 are sums of two floats.
#pragma once

#include "math.h"

namespace trn {
namespace {

// A number as the sum of two.
template <class V>
struct Pair {
  V most, rest;
};
TRN_INLINE Pair<float> exact_product(float a, float b) {
#if defined(__FMA__)
  return {a * b, __builtin_fmaf(a, b, -(a * b))};
#else
  // Products of halves are exact (T. J. Dekker, "A floating-point technique", 1971).
  const auto upper = [](float x) { return bit_cast<float>(bit_cast<uint32_t>(x) & 0xfffff000u); };
  const float p = a * b, au = upper(a), bu = upper(b), al = a - au, bl = b - bu;
  return {p, ((au * bu - p) + au * bl + al * bu) + al * bl};
#endif
}
template <class V>
TRN_INLINE Pair<V> exact_sum(V a, V b) {
  const V s = a + b, t = s - a;
  return {s, (a - (s - t)) + (b - t)};
}

// x / (1 + 1 / e) below 0, x / (1 + e) from there on, for e = raised 2^-32.
template <class V>
TRN_INLINE V gated(V x, V raised) {
  const V s = if_less(x, V(0.f), raised, V(1.f)) / (V(1.f) + raised * V(kLower));
  return x * s * if_less(x, V(0.f), V(kLower), V(1.f));
}
// x sigmoid(x).
template <class V>
TRN_INLINE V fast_silu(V x) {
  return gated(x, raised_exp(-magnitude(x)));
}
// x tanh(log(1 + e^x)), a quotient of polynomials in e^-|x|.
template <class V>
TRN_INLINE V fast_mish(V x) {
  const V raised = raised_exp(-magnitude(x)), e = raised * V(kLower);
  const V above = if_less(x, V(0.f), raised * (e + V(2.f)), V(1.f) + (e + e));
  const V below = if_less(x, V(0.f), e * (e + V(2.f)) + V(2.f), V(1.f) + (e + e) + V(2.f) * e * e);
  return x * (above / below) * if_less(x, V(0.f), V(kLower), V(1.f));
}

// The normal distribution beyond |x|: its weight is density * ratio.
template <class V>
struct NormalTail {
  V density, ratio;  // 2^32 exp(-x^2 / 2); erfc(|x| / sqrt 2) / 2 over density
};
// x: not negative, and where the weight rounds to 0 already, from 14.6 on, no more than that.
template <class V>
TRN_INLINE NormalTail<V> normal_tail(V x) {
  // The square in two parts, since its rounding would be multiplied by up to 100.
  const Pair<V> power = exact_product(x, x * V(-0.5f));
  const V density = scaled_exp(power.most, power.rest, V(kRounder + 127 + 32));
  // The ratio as a quotient of polynomials, to 6e-9.
  const V p = horner(x, 0.004123805074954017f * kLower, 0.04068362786729481f * kLower,
                     0.1833844926757655f * kLower, 0.4384963018444979f * kLower, 0.5f * kLower);
  const V q = horner(x, 0.010336728338587769f, 0.1019851105835389f, 0.46986496125084837f,
                     1.2031231121504113f, 1.6748775900144306f, 1.f);
  return {density, p / q};
}
// erf by a polynomial, and by the weight of both tails from 0.8 on.
TRN_INLINE float fast_erf(float x) {
  const float a = magnitude(x), b = a < 4.f ? a : 4.f, z = b * b;  // 1 from there on
  const float p = horner(z, 8.513104694429785e-5f, -8.175639086402953e-4f, 5.203858949244022e-3f,
                         -2.686050906777382e-2f, 1.1283715069293976e-1f, -3.7612634897232056e-1f);
  const NormalTail<float> tail = normal_tail(b * 1.41421356f);
  const float far = 1.f - 2.f * (tail.density * tail.ratio);
  // 2 / sqrt(pi) as a sum.
  const float near = a * 1.12837923f + (a * -5.8635383e-8f + a * p * z);
  return x != x ? x : with_sign(a < 0.8f ? near : far, x);
}
TRN_INLINE float m_erf(float x) { return fast_erf(x); }
TRN_INLINE double m_erf(double x) { return __builtin_erf(x); }
template <class V>
TRN_INLINE V within_tail(V x) {
  return at_most(magnitude(x), V(14.6f));
}
// x, or 0 below it: x * 0 keeps the sign of zero and makes NaN of -inf, as PyTorch's formula does.
template <class V>
TRN_INLINE V not_below_0(V x) {
  return if_less(x, V(0.f), x * V(0.f), x);
}
// x times the weight of the normal distribution below x.
template <class V>
TRN_INLINE V fast_gelu(V x) {
  const V a = within_tail(x);
  const NormalTail<V> tail = normal_tail(a);
  return not_below_0(x) - a * tail.density * tail.ratio;
}
// The same to the eight digits of a bfloat16: the weight's logarithm is one polynomial.
template <class V>
TRN_INLINE V rough_gelu(V x) {
  const V a = within_tail(x);
  const V p =
      horner(a, 1.8917193e-08f, -1.30909632e-06f, 3.88199473e-05f, -6.50125614e-04f,
             6.86766058e-03f, -4.90610603e-02f, -4.65450844e-01f, -1.14749897f, -1.00032829f);
  const V n = (p + V(kRounder)) - V(kRounder), r = p - n;
  const V e = horner(r, 5.51716688e-2f, 2.42611133e-1f, 6.93260986e-1f, 9.99928073e-1f);
  return not_below_0(x) - a * times_power(e, n);
}
template <class V>
TRN_INLINE V fast_gelu_slope(V x) {
  const NormalTail<V> tail = normal_tail(within_tail(x));
  const V weight = tail.density * tail.ratio;
  return if_less(x, V(0.f), weight, V(1.f) - weight) +
         x * (tail.density * V(0.39894228040143267794f * kLower));
}

// 2 sqrt(2 / pi), and that times 0.044715, as sums of two floats.
constexpr float kLinear = 1.595769167e+00f, kLinearRest = -4.534068054e-08f;
constexpr float kCubic = 7.135481387e-02f, kCubicRest = 2.398832466e-09f;
// x sigmoid(2 u) for u = sqrt(2 / pi) (x + 0.044715 x^3), which is x (1 + tanh(u)) / 2.
template <class V>
TRN_INLINE V fast_gelu_tanh(V x) {
  const V a = at_most(magnitude(x), V(20.f));  // where the exponential is 0 already
  // 2 u = a (k + c a^2), k and c being sums of two floats as well.
  const Pair<V> square = exact_product(a, a), cubic = exact_product(square.most, V(kCubic));
  const Pair<V> slope = exact_sum(cubic.most, V(kLinear));
  const V rest = (cubic.rest + slope.rest) +
                 (square.rest * V(kCubic) + square.most * V(kCubicRest) + V(kLinearRest));
  const Pair<V> u = exact_product(a, slope.most);
  return gated(x, raised_exp(-u.most, -(u.rest + a * rest)));
}

}  // namespace
}  // namespace trn
