// Trigonometric and hyperbolic functions and their inverses.
#pragma once

#include "logarithms.h"

namespace trn {
namespace {

struct Turned {
  float cosine, sine;
};
// Of an angle r, |r| <= pi / 4, and k quarters of a turn.
TRN_INLINE Turned turned_by(float r, int k) {
  const float z = r * r;
  float s = horner(z, -1.958630746230483e-4f, 8.33273958414793e-3f, -1.666666418313980e-1f);
  s = s * z * r + r;
  float c = horner(z, 2.455244612065144e-5f, -1.3888348059058249e-3f, 4.16666641831398e-2f);
  c = c * z * z - 0.5f * z + 1.f;
  const float cosine = k & 1 ? s : c, sine = k & 1 ? c : s;
  return {(k + 1) & 2 ? -cosine : cosine, k & 2 ? -sine : sine};
}
// Of v turns, 0 <= v <= 1: the quarter is taken off exactly.
TRN_INLINE Turned of_turns(float v) {
  const float quarters = v * 4.f, n = round_to_int(quarters);
  return turned_by((quarters - n) * 1.57079632679489662f, static_cast<int>(n));
}

// Beyond, fast_sine and its like lose digits.
constexpr float kMostAngle = 1e5f;
// An angle as r + k quarters of a turn, |r| <= pi / 4, reduced in double.
struct Quartered {
  double rest;
  int quarters;
};
TRN_INLINE Quartered by_quarters(float x) {
  constexpr double kMagic = 6755399441055744.0;  // 1.5 * 2^52
  const double v = x, shifted = v * 0.63661977236758134 + kMagic, n = shifted - kMagic;
  // pi / 2 as a sum whose first part has 33 bits, so that it times n is exact.
  return {(v - n * 1.5707963267341256) - n * 6.077100506506192e-11, static_cast<int>(n)};
}
// Sine of x + quadrant * pi / 2.
TRN_INLINE float fast_sine(float x, int quadrant) {
  const Quartered q = by_quarters(x);
  return turned_by(static_cast<float>(q.rest), q.quarters + quadrant).sine;
}
TRN_INLINE float fast_tan(float x) {
  const Quartered q = by_quarters(x);
  const float r = static_cast<float>(q.rest), z = r * r;
  const float p = horner(z, 9.3957282611e-3f, 3.1027647858e-3f, 2.4440642853e-2f, 5.3408392422e-2f,
                         1.3338833574e-1f, 3.3333155566e-1f);
  const double t = q.rest + static_cast<double>(p * z * r);
  return x == 0.f ? x : static_cast<float>(q.quarters & 1 ? -1 / t : t);
}

// atan of 0 <= x <= 1.
TRN_INLINE float atan_within_1(float x) {
  const float z = x * x;
  const float p =
      horner(z, 2.9200105099e-03f, -1.6365401949e-02f, 4.3208088029e-02f, -7.5519238811e-02f,
             1.0665882591e-01f, -1.4211028082e-01f, 1.9993769982e-01f, -3.3333152636e-01f);
  return p * z * x + x;
}
TRN_INLINE float fast_atan(float x) {
  const float a = magnitude(x);
  const float r = atan_within_1(a > 1.f ? 1.f / a : a);
  return with_sign(a > 1.f ? (1.57079637f - r) - 4.37113883e-8f : r, x);
}
TRN_INLINE float fast_atan2(float y, float x) {
  const float a = magnitude(x), b = magnitude(y), low = a < b ? a : b, high = a < b ? b : a;
  const float q = low == high ? (high == 0.f ? 0.f : 1.f) : low / high;
  float r = atan_within_1(q);
  r = b > a ? (1.57079637f - r) - 4.37113883e-8f : r;
  r = __builtin_signbit(x) ? (3.14159274f - r) - 8.74227766e-8f : r;
  return x != x || y != y ? x + y : with_sign(r, y);
}

// asin of 0 <= x <= 1 / 2 and z = x^2.
TRN_INLINE float asin_near_0(float x, float z) {
  const float p = horner(z, 3.381841254557255e-2f, 1.7070045694708824e-2f, 3.111791051924229e-2f,
                         4.459785670042038e-2f, 7.500099390745163e-2f, 1.666666567325592e-1f);
  return p * z * x + x;
}
// From 1 / 2 on by the half angle. NaN beyond 1, where the root is of a negative number.
TRN_INLINE float fast_asin(float x) {
  const float a = magnitude(x);
  const bool far = a > 0.5f;
  const float z = far ? 0.5f * (1.f - a) : a * a;
  const float r = asin_near_0(far ? __builtin_sqrtf(z) : a, z);
  return with_sign(far ? (1.57079637f - (r + r)) - 4.37113883e-8f : r, x);
}
TRN_INLINE float fast_acos(float x) {
  const float a = magnitude(x);
  const bool far = a > 0.5f;
  const float z = far ? 0.5f * (1.f - a) : a * a;
  const float r = asin_near_0(far ? __builtin_sqrtf(z) : a, z);
  const float near = (1.57079637f - with_sign(r, x)) - 4.37113883e-8f;
  return far ? (x < 0.f ? (3.14159274f - (r + r)) - 8.74227766e-8f : r + r) : near;
}

// exp(x) / 2 for x >= 0, which overflows no sooner than it has to.
TRN_INLINE float half_exp(float x) {
  const Reduced<float> r = by_log_2(at_most(x, 91.f), kRounder);
  return times_power(exp_near_0(r.rest), r.n - 1.f);
}
TRN_INLINE float fast_sinh(float x) {
  const float a = magnitude(x), z = x * x, e = half_exp(a);
  const float p = horner(z, 2.03721912945e-4f, 8.33028376239e-3f, 1.66667160211e-1f);
  return a < 1.f ? p * z * x + x : with_sign(e - 0.25f / e, x);
}
TRN_INLINE float fast_cosh(float x) {
  const float e = half_exp(magnitude(x));
  return e + 0.25f / e;
}
// Large arguments' squares would overflow: there the logarithm of twice the argument.
constexpr float kSquareable = 1e4f, kLog2 = 0.693147181f;
TRN_INLINE float fast_asinh(float x) {
  const float a = magnitude(x), b = a < kSquareable ? a : kSquareable, z = b * b;
  const float small = fast_log1p(b + z / (1.f + __builtin_sqrtf(z + 1.f)));
  return with_sign(a < kSquareable ? small : fast_log(a) + kLog2, x);
}
// In double the sum keeps what it has beyond 1.
TRN_INLINE float fast_acosh(float x) {
  const double a = x, u = a + __builtin_sqrt((a - 1) * (a + 1));
  return x < 1.f ? __builtin_nanf("") : u < 1e300 ? static_cast<float>(log_in_double(u)) : x;
}
TRN_INLINE float fast_atanh(float x) {
  const float a = magnitude(x), z = x * x;
  const float p = horner(z, 1.81740078349e-1f, 8.24370301058e-2f, 1.46691431730e-1f,
                         1.99782164500e-1f, 3.33337300303e-1f);
  const float far = with_sign(0.5f * fast_log1p(2.f * a / (1.f - a)), x);
  return a < 0.5f ? p * z * x + x : far;
}

}  // namespace
}  // namespace trn
