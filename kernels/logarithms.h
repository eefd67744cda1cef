// Logarithms, and powers by them.
#pragma once

#include "exponentials.h"

namespace trn {
namespace {

// log(x) = (most + rest) + n log(2) for a positive finite x, most within (1 / sqrt 2, sqrt 2) - 1.
template <class V>
struct LogParts {
  V most, rest, n;
};
template <class V>
TRN_INLINE LogParts<V> log_parts(V x) {
  const V least(1.17549435e-38f), half(0.5f), root(0.707106781186547524f);
  const V scaled = if_less(x, least, x * V(8388608.f), x), m = mantissa(scaled);
  const V n =
      exponent(scaled) - if_less(x, least, V(23.f), V(0.f)) - if_less(m, root, V(1.f), V(0.f));
  const V z = if_less(m, root, m + m, m) - V(1.f), square = z * z;
  const V p = horner(z, 7.0376836292e-2f, -1.1514610310e-1f, 1.1676998740e-1f, -1.2420140846e-1f,
                     1.4249322787e-1f, -1.6668057665e-1f, 2.0000714765e-1f, -2.4999993993e-1f,
                     3.3333331174e-1f);
  return {z, p * z * square - half * square, n};
}
// A logarithm's value r, or what it is at x where the formula has none.
template <class V>
TRN_INLINE V log_value(V x, V r) {
  const V inf(__builtin_inff()), zero(0.f);
  const V otherwise = if_less(x, zero, V(__builtin_nanf("")), -inf);
  return if_less(x, inf, if_less(zero, x, r, otherwise), x);
}
template <class V>
TRN_INLINE V fast_log(V x) {
  const LogParts<V> l = log_parts(x);
  const V r = (l.most + (l.rest - l.n * V(2.12194440e-4f))) + l.n * V(0.693359375f);
  return log_value(x, r);
}
// The factors log2(e) and log10(e) as sums, so that their rounding is not multiplied by n.
template <class V>
TRN_INLINE V fast_log2(V x) {
  const LogParts<V> l = log_parts(x);
  const V part(0.44269504088896341f), more = (l.rest * part + l.most * part) + l.rest;
  return log_value(x, (more + l.most) + l.n);
}
template <class V>
TRN_INLINE V fast_log10(V x) {
  const LogParts<V> l = log_parts(x);
  const V part(4.3359375e-1f), more = (l.most + l.rest) * V(7.00731903251827651e-4f);
  const V r = more + l.rest * part + l.most * part;
  return log_value(x, r + l.n * V(2.48745663981195214e-4f) + l.n * V(3.0078125e-1f));
}
// What rounding took from 1 + x comes back by the derivative, where there is one.
template <class V>
TRN_INLINE V fast_log1p(V x) {
  const V u = V(1.f) + x, lost = (x - (u - V(1.f))) / u, zero(0.f);
  const V back = if_less(zero, u, if_less(u, V(__builtin_inff()), lost, zero), zero);
  return if_at_most(magnitude(x), zero, x, fast_log(u) + back);
}

// In double, to 14 digits: of a normal positive number, and where the result is within 2^+-1022.
TRN_INLINE double log_in_double(double x) {
  constexpr double kMagic = 4503599627370496.0;  // 2^52: the exponent comes to lie below it
  const uint64_t bits = bit_cast<uint64_t>(x);
  double n = bit_cast<double>((bits >> 52) | 0x4330000000000000u) - (kMagic + 1023);
  double m = bit_cast<double>((bits & 0xfffffffffffffu) | 0x3ff0000000000000u);
  const bool above = m > 1.4142135623730951;
  m = above ? m * 0.5 : m;
  n = above ? n + 1 : n;
  const double s = (m - 1) / (m + 1), z = s * s;
  const double p =
      horner(z, 2.0 / 17, 2.0 / 15, 2.0 / 13, 2.0 / 11, 2.0 / 9, 2.0 / 7, 2.0 / 5, 2.0 / 3);
  return (p * z * s + 2 * s) + n * 0.69314718055994530942;
}
TRN_INLINE double exp_in_double(double x) {
  constexpr double kMagic = 6755399441055744.0;  // 1.5 * 2^52: adding it rounds to an integer
  const double within = x < -700 ? -700 : x > 700 ? 700 : x;
  const double shifted = within * 1.4426950408889634074 + kMagic, n = shifted - kMagic;
  const double r = (within - n * 0.6931471805599453094) - n * 2.3190468138462996e-17;
  const double p = horner(r, 1.0 / 3628800, 1.0 / 362880, 1.0 / 40320, 1.0 / 5040, 1.0 / 720,
                          1.0 / 120, 1.0 / 24, 1.0 / 6, 0.5, 1, 1);
  return bit_cast<double>(bit_cast<uint64_t>(p) + (bit_cast<uint64_t>(shifted) << 52));
}

TRN_INLINE float fast_exp2(float x) {
  return static_cast<float>(exp_in_double(x * 0.69314718055994530942));
}

// x^y with C's values at zeros, infinities and NaN. 1e300 stands for the logarithm of infinity.
// What depends on y alone is arithmetic of 0 and 1, so that loops over x with one y have no
// branches either: 0 / 0 is the NaN that a choice would have given.
TRN_INLINE float fast_pow(float x, float y) {
  const double a = __builtin_fabs(static_cast<double>(x)), b = y;
  const float whole = static_cast<float>(__builtin_floor(b) == b);
  const float even = static_cast<float>(__builtin_floor(b * 0.5) == b * 0.5);
  const float none = static_cast<float>(y == 0), of_nan = none / none;
  const float turned = 1.f - 2.f * (whole - even), below = turned * (whole / whole);
  const double log = a == 0 ? -1e300 : a > 3.5e38 ? 1e300 : log_in_double(a);
  const double size = a == 1 ? 1 : exp_in_double(b * log);
  const float sign = x < 0 && a < 3.5e38 ? below : __builtin_signbit(x) ? turned : 1.f;
  const float r = static_cast<float>(size) * sign;
  return x != x ? of_nan : x == 1 ? 1.f : r;
}

}  // namespace
}  // namespace trn
