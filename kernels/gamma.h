// Functions around the gamma function and the normal distribution, in double.
#pragma once

#include <cmath>

#include "elementwise_functions.h"

namespace trn {
namespace {

inline double erfcx_of(double x) {
  if (x < -27) return __builtin_inf();
  if (x < 26) {
    const double square = x * x;  // its rounding error matters once it is an exponent
    return __builtin_exp(square) * (1 + __builtin_fma(x, x, -square)) * __builtin_erfc(x);
  }
  const double q = -0.5 / (x * x);
  double sum = 1, term = 1;
  for (int k = 1; k < 8; ++k) sum += term *= q * (2 * k - 1);
  return sum * 0.56418958354775628695 / x;
}

// log of the standard normal distribution function.
inline double log_ndtr_of(double x) {
  const double t = x * 0.70710678118654752440;
  if (x < -1) return __builtin_log(erfcx_of(-t) / 2) - t * t;
  return __builtin_log1p(-__builtin_erfc(t) / 2);
}

// erf^-1 by Giles' polynomials in w = -log(1 - x^2), then Newton steps on whichever of erf and
// erfc does not cancel (M. Giles, "Approximating the erfinv function", 2012).
inline double inverse_erf_of(double x) {
  const double a = __builtin_fabs(x);
  if (!(a <= 1)) return __builtin_nan("");
  if (a == 1) return x * __builtin_inf();
  double w = -__builtin_log((1 - a) * (1 + a));
  const double near[] = {2.81022636e-08,  3.43273939e-07, -3.5233877e-06,
                         -4.39150654e-06, 0.00021858087,  -0.00125372503,
                         -0.00417768164,  0.246640727,    1.50140941};
  const double far[] = {-0.000200214257, 0.000100950558, 0.00134934322,
                        -0.00367342844,  0.00573950773,  -0.0076224613,
                        0.00943887047,   1.00167406,     2.83297682};
  const double* k = w < 5 ? near : far;
  w = w < 5 ? w - 2.5 : __builtin_sqrt(w) - 3;
  double p = k[0];
  for (int i = 1; i < 9; ++i) p = k[i] + p * w;
  double y = p * a;
  for (int i = 0; i < 3; ++i) {
    const double error = a > 0.5 ? (1 - a) - __builtin_erfc(y) : __builtin_erf(y) - a;
    const double slope = 1.1283791670955126 * __builtin_exp(-y * y);
    if (slope > 0) y -= error / slope;
  }
  return x < 0 ? -y : y;
}

// The normal distribution's quantile: by erf^-1 in the middle, by Newton on the log in the tails.
inline double ndtri_of(double p) {
  if (!(p >= 0 && p <= 1)) return __builtin_nan("");
  if (p == 0 || p == 1) return p == 0 ? -__builtin_inf() : __builtin_inf();
  if (p > 0.1 && p < 0.9) return 1.4142135623730950488 * inverse_erf_of(2 * (p - 0.5));
  const double tail = p < 0.5 ? p : 1 - p, goal = __builtin_log(tail);
  double y = -__builtin_sqrt(-2 * goal);
  for (int i = 0; i < 12; ++i) {
    const double error = log_ndtr_of(y) - goal;
    // The derivative of log Phi is phi / Phi.
    const double step = error * erfcx_of(-y * 0.70710678118654752440) * 1.2533141373155002512;
    y -= step;
    if (__builtin_fabs(step) < 1e-17 * __builtin_fabs(y)) break;
  }
  return p < 0.5 ? y : -y;
}

// Hurwitz' zeta(s, q), the sum of (q + k)^-s: terms up to 10, then Euler and Maclaurin's formula.
inline double zeta_of(double s, double q) {
  if (s == 1) return __builtin_inf();
  if (s < 1 || q != q) return __builtin_nan("");
  if (q <= 0) {
    if (q == __builtin_floor(q)) return __builtin_inf();
    if (s != __builtin_floor(s)) return __builtin_nan("");
  }
  if (s != s) return s;
  double sum = 0, a = q;
  for (int k = 0; k < 10 || a < 10; ++k, a += 1) {
    const double term = __builtin_pow(a, -s);
    sum += term;
    if (a > 0 && term < 1e-17 * sum / a) return sum;
  }
  const double power = __builtin_pow(a, -s);
  sum += power * a / (s - 1) + power / 2;
  // B_2j / (2j)!, each times s (s + 1) ... (s + 2j - 2) a^(-s - 2j + 1).
  const double k[] = {1.0 / 12,
                      -1.0 / 720,
                      1.0 / 30240,
                      -1.0 / 1209600,
                      1.0 / 47900160,
                      -691.0 / 1307674368000.0,
                      1.0 / 74724249600.0,
                      -3617.0 / 10670622842880000.0};
  double factor = power * s / a;
  for (int j = 0; j < 8; ++j) {
    const double term = k[j] * factor;
    sum += term;
    if (__builtin_fabs(term) < 1e-18 * __builtin_fabs(sum)) break;
    factor *= (s + 2 * j + 1) * (s + 2 * j + 2) / (a * a);
  }
  return sum;
}

inline double polygamma_of(double order, double x) {
  if (order == 0) return digamma_of(x);
  if (order == 1 && x < 0.5 && x != __builtin_floor(x)) {  // by reflection
    const double s = __builtin_sin(3.14159265358979323846 * (x - __builtin_floor(x)));
    return 9.8696044010893586188 / (s * s) - zeta_of(2, 1 - x);
  }
  const double sign = __builtin_fmod(order, 2) == 0 ? -1 : 1;
  return sign * __builtin_tgamma(order + 1) * zeta_of(order + 1, x);
}

// log Gamma(1 + a); near 0 by its series, as 1 + a has lost a there.
inline double log_gamma_1p(double a) {
  if (a > 1e-5) return __builtin_lgamma(a + 1);
  return a * (-0.57721566490153286061 + a * (0.82246703342411321824 - a * 0.40068563438653142847));
}

// x^a e^-x / Gamma(a + 1) without the cancellation of its three large factors.
inline double gamma_weight(double a, double x) {
  if (a < 10) return __builtin_exp(a * __builtin_log(x) - x - __builtin_lgamma(a + 1));
  const double mu = (x - a) / a, z = 1 / (a * a);
  const double stirling = (1.0 / 12 - z * (1.0 / 360 - z * (1.0 / 1260 - z / 1680))) / a;
  double phi = __builtin_log1p(mu) - mu;
  if (__builtin_fabs(mu) < 0.01) {
    phi = 0;
    for (int k = 12; k >= 2; --k) phi = (k % 2 ? 1.0 : -1.0) / k + phi * mu;
    phi *= mu * mu;
  }
  return __builtin_exp(a * phi - stirling) / __builtin_sqrt(6.28318530717958647693 * a);
}

// The regularised incomplete gamma function of a, x > 0, finite: lower P, or upper Q = 1 - P.
inline double incomplete_gamma(double a, double x, bool upper) {
  const double weight = gamma_weight(a, x);
  if (a > 1e6 && __builtin_fabs(x - a) < 0.1 * a) {  // Temme's uniform expansion, two terms
    const double mu = (x - a) / a;
    const double squared = 2 * (mu - __builtin_log1p(mu));
    const double size = __builtin_sqrt(squared > 0 ? squared : 0);
    const double eta = __builtin_fabs(mu) < 1e-4 ? mu - mu * mu / 3 : mu < 0 ? -size : size;
    const double first = __builtin_fabs(eta) < 1e-3 ? -1.0 / 3 + eta / 12 : 1 / mu - 1 / eta;
    const double r =
        __builtin_exp(-0.5 * a * eta * eta) / __builtin_sqrt(6.28318530717958647693 * a);
    const double t = eta * __builtin_sqrt(a / 2);
    return upper ? 0.5 * __builtin_erfc(t) + r * first : 0.5 * __builtin_erfc(-t) - r * first;
  }
  if (x < a + 1) {  // P's series
    double sum = 1, term = 1;
    for (double k = 1; term > sum * 1e-17; ++k) sum += term *= x / (a + k);
    const double lower = weight * sum;
    if (!upper) return lower;
    if (lower < 0.9 || a > 1) return 1 - lower;
    // Q of a small a and x: what is left of 1 - x^a / Gamma(1 + a), then the series' other terms.
    const double power = a * __builtin_log(x) - log_gamma_1p(a);
    double rest = 0, factor = 1;
    for (double k = 1; k < 100; ++k) {
      factor *= -x / k;
      const double piece = factor / (a + k);
      rest += piece;
      if (__builtin_fabs(piece) < 1e-18 * __builtin_fabs(rest)) break;
    }
    return -__builtin_expm1(power) - __builtin_exp(power) * a * rest;
  }
  // Q's continued fraction by Lentz' method.
  double b = x + 1 - a, c = 1e300, d = 1 / b, h = d;
  for (double k = 1; k < 1e6; ++k) {
    const double n = k * (a - k);
    b += 2;
    d = 1 / (n * d + b);
    c = b + n / c;
    h *= c * d;
    if (__builtin_fabs(c * d - 1) < 1e-16) break;
  }
  const double q = weight * a * h;
  return upper ? q : 1 - q;
}

inline double igamma_of(double a, double x, bool upper) {
  const double zero = upper ? 1 : 0, one = 1 - zero;  // the values for x of 0 and infinity
  if (a < 0 || x < 0) return __builtin_nan("");
  if (a == 0) return x > 0 ? one : __builtin_nan("");
  if (x == 0) return zero;
  if (a == __builtin_inf()) return x == __builtin_inf() ? __builtin_nan("") : zero;
  if (x == __builtin_inf()) return one;
  if (a != a || x != x) return __builtin_nan("");
  return incomplete_gamma(a, x, upper);
}

// dx/da of a gamma(a, 1) variate x of fixed probability: -(dP/da) / (dP/dx), the first by central
// differences of the tail that is small, of fourth order.
inline double gamma_slope(double a, double x) {
  if (!(x > 0) || !(a > 0)) return x == 0 ? 0 : __builtin_nan("");
  const bool upper = x > a;
  const double h = 1e-3 * (a < 1 ? a : __builtin_sqrt(a));
  const auto p = [&](double k) { return incomplete_gamma(a + k * h, x, upper); };
  const double slope = (8 * (p(1) - p(-1)) - (p(2) - p(-2))) / (12 * h);
  const double density = gamma_weight(a, x) * a / x;
  return (upper ? slope : -slope) / density;
}

}  // namespace
}  // namespace trn
