// Orthogonal polynomials by their recurrences, in double; PyTorch's values where it departs.
#pragma once

#include "math.h"

namespace trn {
namespace {

// p_n of p_0 = 1, p_1 = first and p_k+1 = next(k, p_k, p_k-1).
template <class Next>
inline double recurrence(int64_t n, double first, Next next) {
  if (n < 0) return 0;
  if (n == 0) return 1;
  double before = 1, now = first;
  for (int64_t k = 1; k < n && now == now; ++k) {
    const double after = next(static_cast<double>(k), now, before);
    before = now;
    now = after;
  }
  return now;
}

// The four kinds of Chebyshev share one recurrence; inside (-1, 1) a formula serves large n.
inline double chebyshev(int64_t n, double x, double first) {
  return recurrence(n, first, [x](double, double p, double q) { return 2 * x * p - q; });
}
inline bool inside(int64_t n, double x, int64_t most) { return n > most && x > -1 && x < 1; }
inline double chebyshev_t(double x, int64_t n) {
  return inside(n, x, 6) ? m_cos(static_cast<double>(n) * m_acos(x)) : chebyshev(n, x, x);
}
inline double chebyshev_u(double x, int64_t n) {
  const double angle = m_acos(x);
  return inside(n, x, 8) ? m_sin(static_cast<double>(n + 1) * angle) / m_sin(angle)
                         : chebyshev(n, x, 2 * x);
}
inline double chebyshev_v(double x, int64_t n) {
  const double angle = m_acos(x);
  return inside(n, x, 8) ? m_cos((static_cast<double>(n) + 0.5) * angle) / m_cos(angle / 2)
                         : chebyshev(n, x, 2 * x - 1);
}
inline double chebyshev_w(double x, int64_t n) {
  const double angle = m_acos(x);
  return inside(n, x, 8) ? m_sin((static_cast<double>(n) + 0.5) * angle) / m_sin(angle / 2)
                         : chebyshev(n, x, 2 * x + 1);
}
// Beyond these orders PyTorch has no value: float's and double's recurrences overflow.
inline double hermite_h(double x, int64_t n, int64_t most) {
  if (n > most) return __builtin_nan("");
  return recurrence(n, 2 * x, [x](double k, double p, double q) { return 2 * x * p - 2 * k * q; });
}
inline double hermite_he(double x, int64_t n, int64_t most) {
  if (n > most) return __builtin_nan("");
  return recurrence(n, x, [x](double k, double p, double q) { return x * p - k * q; });
}
inline double laguerre_l(double x, int64_t n) {
  return recurrence(n, 1 - x, [x](double k, double p, double q) {
    return ((2 * k + 1 - x) * p - k * q) / (k + 1);
  });
}
inline double legendre_p(double x, int64_t n) {
  return recurrence(
      n, x, [x](double k, double p, double q) { return ((2 * k + 1) * x * p - k * q) / (k + 1); });
}

}  // namespace
}  // namespace trn
