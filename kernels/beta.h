// Beta variates: how one moves with a parameter.
#pragma once

#include "elementwise_functions.h"

namespace trn {
namespace {

// A number and its derivative.
struct Dual {
  double value, slope;
};
inline Dual operator+(Dual x, Dual y) { return {x.value + y.value, x.slope + y.slope}; }
inline Dual operator*(Dual x, Dual y) {
  return {x.value * y.value, x.slope * y.value + x.value * y.slope};
}
inline Dual operator/(Dual x, Dual y) {
  const double q = x.value / y.value;
  return {q, (x.slope - q * y.slope) / y.value};
}

// The continued fraction of the incomplete beta function I_x(a, b), which is its value over
// x^a (1 - x)^b / (a B(a, b)), for x below its mean; by the method of Lentz (DLMF 8.17.22).
inline Dual beta_fraction(double x, Dual a, Dual b) {
  const auto number = [](double v) { return Dual{v, 0}; };
  constexpr double kTiny = 1e-290, kEnough = 1e-14;
  const auto nonzero = [&](Dual d) { return d.value == 0 ? number(kTiny) : d; };
  const Dual one = number(1), total = a + b;
  Dual c = one, d = one / nonzero(one + number(-x) * total / (a + one)), h = d;
  const auto take = [&](Dual step) {
    d = one / nonzero(one + step * d);
    c = nonzero(one + step / c);
    h = h * (c * d);
    return c * d;
  };
  for (int m = 1; m < 10000; ++m) {
    const Dual twice = a + number(2. * m);
    take(number(m * x) * (b + number(-m)) / ((twice + number(-1)) * twice));
    const Dual factor =
        take(number(-x) * (a + number(m)) * (total + number(m)) / (twice * (twice + one)));
    if (__builtin_fabs(factor.value - 1) + __builtin_fabs(factor.slope) < kEnough) break;
  }
  return h;
}

// dx/dalpha of a Beta(alpha, total - alpha) variate x of fixed probability, over 1 - x:
// -(dI/dalpha) / (dI/dx) / (1 - x), from whichever of I and 1 - I is small.
inline double beta_slope(double x, double alpha, double total) {
  const double beta = total - alpha;
  if (!(x >= 0 && x <= 1 && alpha > 0 && beta > 0)) return __builtin_nan("");
  if (x == 0) return 0;
  // Of log(x^alpha / B(alpha, beta)) by alpha.
  const double front = __builtin_log(x) - digamma_of(alpha) + digamma_of(total);
  if (x < (alpha + 1) / (total + 2)) {
    const Dual h = beta_fraction(x, {alpha, 1}, {beta, 0});
    return -x / alpha * (h.value * (front - 1 / alpha) + h.slope);
  }
  const Dual h = beta_fraction(1 - x, {beta, 0}, {alpha, 1});
  return x / beta * (h.value * front + h.slope);
}

}  // namespace
}  // namespace trn
