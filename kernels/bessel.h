// Bessel functions of orders 0 and 1, modified ones, Airy's Ai: in double, from their series and
// integrals (Abramowitz and Stegun, chapters 9 and 10).
#pragma once

#include <cmath>

#include "math.h"

namespace trn {
namespace {

constexpr double kPi = 3.14159265358979323846;

// exp(-|x|) I_order(x), order 0 or 1. Terms of the power series are positive, so none cancels; from
// 30 on the asymptotic series is exact before its terms grow.
inline double scaled_bessel_i(int order, double x) {
  const double y = __builtin_fabs(x);
  if (!(y < __builtin_inf())) return y == y ? (order && x < 0 ? -0.0 : 0.0) : y;
  double sum = 1, term = 1;
  if (y < 30) {
    const double q = y * y / 4;
    for (int k = 1; term > sum * 1e-17; ++k) sum += term *= q / (k * (k + order));
    sum *= __builtin_exp(-y) * (order ? y / 2 : 1);
  } else {
    for (int k = 1; k < 40 && __builtin_fabs(term) > 1e-17; ++k)
      sum += term *= -(4.0 * order * order - (2.0 * k - 1) * (2 * k - 1)) / (8 * k * y);
    sum /= __builtin_sqrt(2 * kPi * y);
  }
  return order && x < 0 ? -sum : sum;
}
inline double bessel_i(int order, double x) {
  const double y = __builtin_fabs(x), half = __builtin_exp(y / 2);  // exp(y) may be too large
  if (y == __builtin_inf()) return order ? x : y;
  return scaled_bessel_i(order, x) * half * half;
}

// exp(x) K_order(x) for x > 0: the trapezoidal rule on the integral of exp(-x (cosh t - 1))
// cosh(order t) over all t, which converges faster than any power of the step.
inline double scaled_bessel_k(double order, double x) {
  const double root = __builtin_sqrt(x);
  const double step = root > 3.5 ? 0.7 / root : 0.2;
  double sum = 0.5;
  for (double k = 1;; ++k) {
    const double t = k * step, s = __builtin_sinh(t / 2);
    const double term = __builtin_exp(-2 * x * s * s) * __builtin_cosh(order * t);
    sum += term;
    if (term < sum * 1e-18) break;
  }
  return sum * step;
}
// What PyTorch has at 0 and below it.
inline double bessel_k(int order, double x, bool scaled) {
  if (x == 0) return __builtin_inf();
  if (!(x > 0)) return __builtin_nan("");
  if (x == __builtin_inf()) return 0;
  return scaled_bessel_k(order, x) * (scaled ? 1 : __builtin_exp(-x));
}

inline double spherical_bessel_j0(double x) {
  if (__builtin_fabs(x) == __builtin_inf()) return 0;
  if (__builtin_fabs(x) < 1e-4) return 1 - x * x / 6;
  return __builtin_sin(x) / x;
}

// Ai from its power series, whose terms cancel where x is large; hence the wide type.
inline double airy_series(double x) {
  using Wide = __float128;
  const Wide z = static_cast<Wide>(x) * x * x;
  // Ai(0) and -Ai'(0) to 33 digits.
  const Wide a = static_cast<Wide>(355028053887817239) / 1e18 + 260063186004183 / 1e33;
  const Wide b = static_cast<Wide>(258819403792806798) / 1e18 + 405183560189204 / 1e33;
  Wide f = 1, g = x, fs = 1, gs = x;
  for (int k = 1; k < 200; ++k) {
    f *= z / ((3 * k - 1) * (3 * k));
    g *= z / ((3 * k) * (3 * k + 1));
    fs += f;
    gs += g;
    const double size = static_cast<double>((f < 0 ? -f : f) + (g < 0 ? -g : g));
    if (size < 1e-30) break;
  }
  return static_cast<double>(a * fs - b * gs);
}
inline double airy_ai(double x) {
  if (x != x || x == -__builtin_inf()) return __builtin_nan("");
  if (x > 2) {  // by K of order 1/3
    if (x > 104) return 0;
    const double zeta = 2 * x * __builtin_sqrt(x) / 3;
    return __builtin_sqrt(x / 3) / kPi * scaled_bessel_k(1.0 / 3, zeta) * __builtin_exp(-zeta);
  }
  if (x > -9) return airy_series(x);
  const double y = -x, zeta = 2 * y * __builtin_sqrt(y) / 3;
  double even = 1, odd = 0, term = 1;
  for (int k = 1; k < 12; ++k) {  // alternately to the sine's and the cosine's coefficient
    term *= (6.0 * k - 5) * (6 * k - 3) * (6 * k - 1) / (216.0 * k * (2 * k - 1)) / zeta;
    const double sign = k % 4 < 2 ? 1 : -1;
    (k % 2 ? odd : even) += sign * term;
  }
  const double angle = zeta + kPi / 4;
  return (__builtin_sin(angle) * even - __builtin_cos(angle) * odd) /
         (__builtin_sqrt(kPi) * __builtin_sqrt(__builtin_sqrt(y)));
}

}  // namespace
}  // namespace trn
