// The longer expressions of elementwise.def.
#pragma once

#include "activations.h"

namespace trn {
namespace {

template <class T>
constexpr bool is_float = __is_same(T, float) || __is_same(T, double);

#define TRN_F        \
  template <class T> \
  TRN_INLINE T
TRN_F maximum_of(T a, T b) { return a < b ? b : a; }
TRN_F minimum_of(T a, T b) { return b < a ? b : a; }

// Division by zero: floats follow IEEE, integers give 0 as no trap may stop a device.
TRN_F divide_trunc(T a, T b) {
  if constexpr (sizeof(T) >= 4 && T(-1) < T(0))
    if (b == T(-1)) return static_cast<T>(-a);  // the one quotient that would overflow
  return b == T(0) ? T(0) : static_cast<T>(a / b);
}
TRN_F trunc_remainder(T a, T b) {
  if constexpr (sizeof(T) >= 4 && T(-1) < T(0))
    if (b == T(-1)) return T(0);
  return b == T(0) ? T(0) : static_cast<T>(a % b);
}
TRN_F floor_remainder(T a, T b) {
  if constexpr (is_float<T>) {
    const T r = m_fmod(a, b);
    return r != 0 && (b < 0) != (r < 0) ? r + b : r;
  } else {
    const T r = trunc_remainder(a, b);
    return r != 0 && (r < 0) != (b < 0) ? static_cast<T>(r + b) : r;
  }
}
// floor(a / b) as Python's // has it, exact for floats (c10::div_floor_floating).
TRN_F divide_floor(T a, T b) {
  if constexpr (is_float<T>) {
    if (b == 0) return a / b;
    T mod = m_fmod(a, b);
    T quotient = (a - mod) / b;
    if (mod != 0 && (b < 0) != (mod < 0)) quotient -= 1;
    if (quotient == 0) return m_copysign(T(0), a / b);
    T down = m_floor(quotient);
    if (quotient - down > T(0.5)) down += 1;
    return down;
  } else {
    const T q = divide_trunc(a, b);
    return trunc_remainder(a, b) != 0 && (a < 0) != (b < 0) ? static_cast<T>(q - 1) : q;
  }
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
// The exponents people write are products and roots; pow is for the others.
TRN_F power_by(T a, T e) {
  if (e == T(2)) return a * a;
  if (e == T(3)) return a * a * a;
  if (e == T(0.5)) return m_sqrt(a);
  if (e == T(1)) return a;
  if (e == T(-1)) return T(1) / a;
  if (e == T(-2)) return T(1) / (a * a);
  if (e == T(-0.5)) return T(1) / m_sqrt(a);
  return m_pow(a, e);
}

// In double, because the two parts of the sum may cancel.
TRN_F log_add_exp(T a, T b) {
  if ((m_fabs(a) == infinity<T>() && a == b) || is_nan(a) || is_nan(b)) return a + b;
  const double x = a, y = b, m = x > y ? x : y;
  return static_cast<T>(m + __builtin_log1p(__builtin_exp(-__builtin_fabs(x - y))));
}
TRN_F log_add_exp2(T a, T b) {
  if ((m_fabs(a) == infinity<T>() && a == b) || is_nan(a) || is_nan(b)) return a + b;
  const double x = a, y = b, m = x > y ? x : y, e = __builtin_exp2(-__builtin_fabs(x - y));
  // Of equal arguments exactly 1: the sum may cancel.
  return static_cast<T>(m + (e == 1 ? 1 : __builtin_log1p(e) * 1.44269504088896340736));
}

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

TRN_INLINE float erf_of(float x) { return __builtin_erff(x); }
TRN_INLINE double erf_of(double x) { return __builtin_erf(x); }

// erf^-1 by Giles' polynomials in w = -log(1 - x^2), then one Newton step in double
// (M. Giles, "Approximating the erfinv function", 2012).
TRN_F inverse_erf(T value) {
  const double x = static_cast<double>(value);
  if (x != x || x < -1 || x > 1) return not_a_number<T>();
  if (x == 1) return infinity<T>();
  if (x == -1) return -infinity<T>();
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
  return static_cast<T>(y);
}

// psi(x): reflection below 0, recurrence up to 10, then the asymptotic series.
TRN_F digamma_of(T value) {
  double x = static_cast<double>(value);
  if (x == 0) return m_copysign(infinity<T>(), -value);
  double result = 0;
  if (x < 0) {
    if (x == __builtin_floor(x)) return not_a_number<T>();
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
  return static_cast<T>(result + __builtin_log(x) - 0.5 / x - series * z);
}

TRN_F logit_of(T a, T eps) {
  const T x = eps < 0 ? a : a < eps ? eps : a > T(1) - eps ? T(1) - eps : a;
  // In double: around 1/2 the quotient is near 1, where log loses what rounding took from it.
  const double wide = static_cast<double>(x);
  return static_cast<T>(__builtin_log(wide / (1 - wide)));
}
// sin(pi x) / (pi x); in double, where pi x does not overflow for a float.
TRN_F sinc_of(T x) {
  const double y = 3.14159265358979323846 * static_cast<double>(x);
  return x == 0 ? T(1) : static_cast<T>(__builtin_sin(y) / y);
}
// In double: float's own loses digits near the zeros of log |Gamma|.
TRN_F log_gamma_of(T x) { return static_cast<T>(__builtin_lgamma(static_cast<double>(x))); }
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
template <class T>
constexpr bool is_double = __is_same(T, double);
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
