// The longer expressions of elementwise.def.
#pragma once

#include <type_traits>

#include "activations.h"

namespace trn {
namespace {

template <class T>
constexpr bool is_float = __is_same(T, float) || __is_same(T, double);
template <class T>
constexpr bool is_double = __is_same(T, double);

#define TRN_F        \
  template <class T> \
  TRN_INLINE T
TRN_F maximum_of(T a, T b) { return a < b ? b : a; }
TRN_F minimum_of(T a, T b) { return b < a ? b : a; }

// A comparison of bool as such is not made of vectors.
template <class T>
TRN_INLINE bool is_zero(T a) {
  if constexpr (__is_same(T, bool)) return bit_cast<uint8_t>(a) < 1;
  else return a == T(0);
}

#define TRN_SELDOM                       \
  template <bool seldom = true, class T> \
  TRN_INLINE T
// Whole numbers are divided as reals that hold them, for which there are vectors: a quotient that
// is not whole differs from the next whole number by more than rounding moves it.
template <class T>
using RealOf = std::conditional_t<sizeof(T) <= 2, float, double>;
template <bool seldom, class T>
constexpr bool divides_reals = !seldom || sizeof(T) <= 4;
TRN_INLINE bool seldom_div_trunc(int64_t a, int64_t b) {
  constexpr uint64_t kHalf = uint64_t{1} << 53;
  const auto held = [](int64_t x) { return static_cast<uint64_t>(x) + kHalf <= 2 * kHalf; };
  return (b == 0) | !held(a) | !held(b);
}
TRN_INLINE bool seldom_div_floor(int64_t a, int64_t b) { return seldom_div_trunc(a, b); }
TRN_INLINE bool seldom_remainder(int64_t a, int64_t b) { return seldom_div_trunc(a, b); }
TRN_INLINE bool seldom_fmod(int64_t a, int64_t b) { return seldom_div_trunc(a, b); }

// Division by zero: floats follow IEEE, integers give 0 as no trap may stop a device.
TRN_SELDOM divide_trunc(T a, T b) {
  if constexpr (divides_reals<seldom, T>) {
    const T q = static_cast<T>(m_trunc(RealOf<T>(a) / RealOf<T>(b)));
    const bool turns = (T(-1) < T(0)) & (b == T(-1));  // the one quotient that would overflow
    return b == T(0) ? T(0) : turns ? static_cast<T>(-a) : q;
  }
  if (b == T(-1)) return static_cast<T>(-a);
  return b == T(0) ? T(0) : static_cast<T>(a / b);
}
TRN_SELDOM trunc_remainder(T a, T b) {
  if constexpr (divides_reals<seldom, T>) {
    const RealOf<T> x(a), y(b), rest = x - m_trunc(x / y) * y;
    return b == T(0) ? T(0) : static_cast<T>(rest);
  }
  if (b == T(-1)) return T(0);
  return b == T(0) ? T(0) : static_cast<T>(a % b);
}

// Exact in double while the quotient has at most 27 bits: then none rounds up to a whole number.
TRN_INLINE bool seldom_fmod(float a, float b) {
  return !(m_fabs(a) < m_fabs(b) * 134217728.f) || !(m_fabs(b) < infinity<float>());
}
TRN_INLINE bool seldom_remainder(float a, float b) { return seldom_fmod(a, b); }
TRN_INLINE bool seldom_div_floor(float a, float b) { return seldom_fmod(a, b); }
TRN_SELDOM fmod_of(T a, T b) {
  if constexpr (seldom) return m_fmod(a, b);
  const double x = a, y = b;
  return m_copysign(static_cast<T>(x - m_trunc(x / y) * y), a);
}
TRN_SELDOM floor_remainder(T a, T b) {
  if constexpr (is_float<T>) {
    const T r = fmod_of<seldom>(a, b);
    return r != 0 && (b < 0) != (r < 0) ? r + b : r;
  } else {
    const T r = trunc_remainder<seldom>(a, b);
    return (r != 0) & ((r < 0) != (b < 0)) ? static_cast<T>(r + b) : r;
  }
}
// floor(a / b) as Python's // has it, exact for floats (c10::div_floor_floating).
TRN_SELDOM divide_floor(T a, T b) {
  if constexpr (is_float<T>) {
    const T mod = fmod_of<seldom>(a, b), whole = (a - mod) / b;
    const T quotient = mod != 0 && (b < 0) != (mod < 0) ? whole - 1 : whole;
    const T down = m_floor(quotient), near = quotient - down > T(0.5) ? down + 1 : down;
    return b == 0 ? a / b : quotient == 0 ? m_copysign(T(0), a / b) : near;
  } else {
    const T q = divide_trunc<seldom>(a, b), r = trunc_remainder<seldom>(a, b);
    return (r != 0) & ((a < 0) != (b < 0)) ? static_cast<T>(q - 1) : q;
  }
}

TRN_INLINE bool seldom_sin(float a, float) { return !(m_fabs(a) <= kMostAngle); }
TRN_INLINE bool seldom_cos(float a, float) { return seldom_sin(a, a); }
TRN_INLINE bool seldom_tan(float a, float) { return seldom_sin(a, a); }
TRN_SELDOM sine_of(T x) {
  if constexpr (seldom) return m_sin(x);
  else return x == 0 ? x : fast_sine(x, 0);  // with the sign of zero, which the sum loses
}
TRN_SELDOM cosine_of(T x) {
  if constexpr (seldom) return m_cos(x);
  else return fast_sine(x, 1);
}
TRN_SELDOM tangent_of(T x) {
  if constexpr (seldom) return m_tan(x);
  else return fast_tan(x);
}

TRN_F integer_power(T a, T b) {
  if constexpr (__is_same(T, bool)) {
    return a || !b;
  } else {
    if (b < 0) return a == 1 ? T(1) : a == T(-1) ? (b % 2 ? T(-1) : T(1)) : T(0);
    T result = 1;
    for (; b; b = static_cast<T>(b >> 1)) {
      if (b & 1) result = static_cast<T>(result * a);
      a = static_cast<T>(a * a);
    }
    return result;
  }
}
// Calls for double; for float what a loop of vectors can have of them.
template <class T>
TRN_INLINE double wide_exp(double x) {
  if constexpr (is_double<T>) return __builtin_exp(x);
  else return exp_in_double(x);
}
template <class T>
TRN_INLINE double wide_log(double x) {
  if constexpr (is_double<T>) return __builtin_log(x);
  const double r = x == 0 ? -__builtin_inf() : x < 0 ? __builtin_nan("") : log_in_double(x);
  return x == __builtin_inf() || x != x ? x : r;
}
// log(1 + e^-x) of x >= 0: of e^-x / (2 + e^-x) twice the inverse hyperbolic tangent.
TRN_INLINE float log_1_exp_below(float x) {
  const float e = raised_exp(-x) * kLower, r = e / (e + 2.f), v = r * r;
  return horner(v, 0.26851498f, 0.28236620f, 0.40007561f, 0.66666640f) * v * r + (r + r);
}
TRN_INLINE double log_1_exp_below(double x) { return __builtin_log1p(__builtin_exp(-x)); }
// log(e^a + e^b) = m + log(1 + e^-d) of the larger m; the same of powers of two.
TRN_F log_add(T a, T b, double factor) {
  const T m = a < b ? b : a, d = a == b ? T(0) : m_fabs(a - b);
  const T rest = log_1_exp_below(d * T(factor));
  // log2(e) as a sum, so that less of it is rounded.
  return m + (factor == 1 ? rest : d == 0 ? T(1) : rest * T(0.44269504088896340736) + rest);
}
// In double where the two parts of the sum cancel.
TRN_F log_add_wide(T a, T b, double factor) {
  const double x = a, y = b, m = x > y ? x : y, d = x == y ? 0 : __builtin_fabs(x - y);
  const double e = wide_exp<T>(-d * factor), u = 1 + e, short_of = (e - (u - 1)) / u;
  double rest;
  if constexpr (is_double<T>) rest = __builtin_log1p(e);
  else rest = log_in_double(u) + short_of;
  // Of equal powers of two exactly 1: the sum may cancel.
  return static_cast<T>(m + (factor == 1 ? rest : d == 0 ? 1 : rest / factor));
}
TRN_INLINE bool seldom_logaddexp(float a, float b) {
  const float m = a < b ? b : a;
  return (m < 0) & (m > -1.5f);
}
TRN_INLINE bool seldom_logaddexp2(float a, float b) {
  const float m = a < b ? b : a;
  return (m < 0) & (m > -2.5f);
}
TRN_SELDOM log_add_exp(T a, T b) {
  if constexpr (seldom) return log_add_wide(a, b, 1);
  else return log_add(a, b, 1);
}
TRN_SELDOM log_add_exp2(T a, T b) {
  if constexpr (seldom) return log_add_wide(a, b, 0.69314718055994530942);
  else return log_add(a, b, 0.69314718055994530942);
}
#undef TRN_SELDOM

TRN_F shift_left(T a, T b) {
  constexpr int kBits = sizeof(T) * 8;
  return b < 0 || static_cast<int64_t>(b) >= kBits
             ? T(0)
             : static_cast<T>(static_cast<uint64_t>(a) << static_cast<int>(b));
}
TRN_F shift_right(T a, T b) {
  constexpr int kBits = sizeof(T) * 8;
  const bool all = b < 0 || static_cast<int64_t>(b) >= kBits;
  return static_cast<T>(a >> (all ? kBits - 1 : static_cast<int>(b)) >> (all && !(T(-1) < T(0))));
}
TRN_F greatest_divisor(T a, T b) {
  a = a < 0 ? static_cast<T>(-a) : a;
  b = b < 0 ? static_cast<T>(-b) : b;
  while (b) {
    const T r = static_cast<T>(a % b);
    a = b;
    b = r;
  }
  return a;
}
TRN_F least_multiple(T a, T b) {
  const T g = greatest_divisor(a, b);
  if (g == 0) return 0;
  const T m = static_cast<T>(a / g * b);
  return m < 0 ? static_cast<T>(-m) : m;
}

// erf^-1 by Giles' polynomials in w = -log(1 - x^2), then one Newton step in double
// (M. Giles, "Approximating the erfinv function", 2012).
TRN_INLINE double inverse_erf(double x) {
  if (x != x || x < -1 || x > 1) return __builtin_nan("");
  if (x == 1) return __builtin_inf();
  if (x == -1) return -__builtin_inf();
  double w = -__builtin_log((1 - x) * (1 + x)), p;
  if (w < 5) {
    w -= 2.5;
    const double k[] = {2.81022636e-08,  3.43273939e-07, -3.5233877e-06,
                        -4.39150654e-06, 0.00021858087,  -0.00125372503,
                        -0.00417768164,  0.246640727,    1.50140941};
    p = k[0];
    for (int i = 1; i < 9; ++i) p = k[i] + p * w;
  } else {
    w = __builtin_sqrt(w) - 3;
    const double k[] = {-0.000200214257, 0.000100950558, 0.00134934322,
                        -0.00367342844,  0.00573950773,  -0.0076224613,
                        0.00943887047,   1.00167406,     2.83297682};
    p = k[0];
    for (int i = 1; i < 9; ++i) p = k[i] + p * w;
  }
  double y = p * x;
  for (int i = 0; i < 3; ++i)
    y -= (__builtin_erf(y) - x) / (1.1283791670955126 * __builtin_exp(-y * y));
  return y;
}
// The same to 2e-8, by polynomials of higher degree and without the step.
TRN_INLINE float inverse_erf(float value) {
  const double x = value, w = -wide_log<float>((1 - x) * (1 + x)), near = w - 2.5;
  const double c[] = {3.368846106126e-10, -8.769970664476e-09, 1.802010629613e-08,
                      4.658569904501e-07, -3.434539564996e-06, -4.961770820392e-06,
                      2.182825176592e-04, -1.252744864803e-03, -4.177339352743e-03,
                      2.466402877117e-01, 1.501409353512e+00};
  double p = c[0];
  for (int i = 1; i < 11; ++i) p = p * near + c[i];
  const double far = __builtin_sqrt(w) - 3;
  const double d[] = {1.012743407912e-04,  -2.948251670635e-04, -3.612602777460e-05,
                      1.466318694566e-03,  -3.608190800430e-03, 5.694324298595e-03,
                      -7.634955196304e-03, 9.444405073791e-03,  1.001674817222e+00,
                      2.832976816174e+00};
  double q = d[0];
  for (int i = 1; i < 10; ++i) q = q * far + d[i];
  const double r = (w < 5 ? p : q) * x;
  return static_cast<float>(x == 1 || x == -1 ? x * __builtin_inf() : r);
}

// psi(x): reflection below 0, recurrence up to 10, then the asymptotic series.
inline double digamma_of(double x) {
  if (x == 0) return m_copysign(__builtin_inf(), -x);
  double result = 0;
  if (x < 0) {
    if (x == __builtin_floor(x)) return __builtin_nan("");
    const double fraction = x - __builtin_trunc(x);
    result = -3.14159265358979323846 / __builtin_tan(3.14159265358979323846 * fraction);
    x = 1 - x;
  }
  for (; x < 10; x += 1) result -= 1 / x;
  const double z = 1 / (x * x);
  double series = 8.33333333333333333333e-2;
  const double k[] = {-2.10927960927960927961e-2, 7.57575757575757575758e-3,
                      -4.16666666666666666667e-3, 3.96825396825396825397e-3,
                      -8.33333333333333333333e-3, 8.33333333333333333333e-2};
  for (double c : k) series = series * z + c;
  return result + __builtin_log(x) - 0.5 / x - series * z;
}

TRN_F logit_of(T a, T eps) {
  const T x = eps < 0 ? a : a < eps ? eps : a > T(1) - eps ? T(1) - eps : a;
  // In double: around 1/2 the quotient is near 1, where log loses what rounding took from it.
  const double wide = static_cast<double>(x);
  return static_cast<T>(wide_log<T>(wide / (1 - wide)));
}
// sin(pi x) / (pi x); of floats as sin(pi r) / pi of what x is past a whole number, over x.
TRN_INLINE double sinc_of(double x) {
  const double y = 3.14159265358979323846 * x;
  return x == 0 ? 1 : __builtin_sin(y) / y;
}
TRN_INLINE float sinc_of(float x) {
  // Past an even number first: the sine's sign turns with every other one.
  const float even = m_nearbyint(x * 0.5f) * 2.f, past = x - even;
  const float r = magnitude(past) > 0.5f ? with_sign(1.f, past) - past : past, v = r * r;
  const float sine =
      horner(v, -2.2550628e-3f, 2.6128059e-2f, -0.19075006f, 0.81174237f, -1.64493407f) * v * r + r;
  return x == 0 ? 1.f : sine / x;
}
TRN_INLINE double log_gamma_of(double x) { return __builtin_lgamma(x); }
TRN_F logit_slope(T grad, T x, T eps) {
  if (eps < 0) return x < 0 || x > 1 ? not_a_number<T>() : grad / (x * (T(1) - x));
  return x < eps || x > T(1) - eps ? T(0) : grad / (x * (T(1) - x));
}
TRN_F lerp_of(T a, T b, T w) {
  return m_fabs(w) < T(0.5) ? a + w * (b - a) : b - (b - a) * (T(1) - w);
}
TRN_F elu_slope(T grad, T x, T alpha, T scale, T input_scale, T is_result) {
  const T negative = is_result != 0 ? grad * input_scale * (x + alpha * scale)
                                    : grad * input_scale * alpha * scale * m_exp(x * input_scale);
  return x <= 0 ? negative : grad * scale;
}
TRN_F silu_slope(T grad, T x) {
  const T s = m_sigmoid(x);
  return grad * s * (T(1) + x * (T(1) - s));
}
// tanh(log(1 + e^x)) as a quotient of polynomials in e^x; 1 where that would overflow.
TRN_F tanh_of_softplus(T x) {
  const T e = m_exp(if_less(T(40), x, T(40), x)), n = e * (e + T(2));
  return n / (n + T(2));
}
TRN_F mish_slope(T grad, T x) {
  const T s = m_sigmoid(x), t = tanh_of_softplus(x);
  return grad * (t + x * s * (T(1) - t * t));
}
// Where float has a function of its own, double has PyTorch's formula.
TRN_F silu_of(T x) {
  if constexpr (is_double<T>) return x * m_sigmoid(x);
  else return fast_silu(x);
}
TRN_F mish_of(T x) {
  if constexpr (is_double<T>) return x * tanh_of_softplus(x);
  else return fast_mish(x);
}
template <bool half, class T>
TRN_INLINE T gelu_of(T x) {
  if constexpr (is_double<T>) return 0.5 * x * (1 + __builtin_erf(x * 0.70710678118654752440));
  else if constexpr (half) return rough_gelu(x);
  else return fast_gelu(x);
}
TRN_F gelu_slope(T grad, T x) {
  if constexpr (is_double<T>) {
    const double cdf = 0.5 * (1 + __builtin_erf(x * 0.70710678118654752440));
    return grad * (cdf + x * 0.39894228040143267794 * __builtin_exp(-0.5 * x * x));
  } else {
    return grad * fast_gelu_slope(x);
  }
}
TRN_F gelu_by_tanh(T x) {
  // (1 + tanh(u)) / 2 = sigmoid(2 u), in which nothing cancels.
  if constexpr (is_double<T>)
    return x * m_sigmoid(1.59576912160573071176 * (x + 0.044715 * x * x * x));
  else return fast_gelu_tanh(x);
}
TRN_F gelu_tanh_slope(T grad, T x) {
  const T k = T(1.59576912160573071176), x2 = x * x;
  const T s = m_sigmoid(k * (x + T(0.044715) * x2 * x));
  return grad * (s * (T(1) + (T(1) - s) * x * (k + k * T(3 * 0.044715) * x2)));
}
#undef TRN_F

}  // namespace
}  // namespace trn
