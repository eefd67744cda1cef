// Arithmetic and functions of complex numbers, for the portable files only: the functions are the
// C library's, and complex work is too rare to be compiled for each instruction set.
#pragma once

#include <complex>

#include "complex_arithmetic.h"
#include "math.h"

namespace trn {
namespace {

template <class R>
TRN_INLINE std::complex<R> std_of(complex_t<R> z) {
  return {z.re, z.im};
}
template <class R>
TRN_INLINE complex_t<R> of_std(std::complex<R> z) {
  return complex_t<R>(z.real(), z.imag());
}

#define TRN_C        \
  template <class R> \
  TRN_INLINE
TRN_C complex_t<R> operator/(complex_t<R> a, complex_t<R> b) {
  return of_std(std_of(a) / std_of(b));
}
TRN_C bool is_nan(complex_t<R> z) { return z.re != z.re || z.im != z.im; }

#define TRN_COMPLEX1(name) \
  TRN_C complex_t<R> m_##name(complex_t<R> z) { return of_std(std::name(std_of(z))); }
// clang-format off
TRN_COMPLEX1(exp) TRN_COMPLEX1(log) TRN_COMPLEX1(log10) TRN_COMPLEX1(sqrt) TRN_COMPLEX1(tanh)
TRN_COMPLEX1(sin) TRN_COMPLEX1(cos) TRN_COMPLEX1(tan) TRN_COMPLEX1(sinh) TRN_COMPLEX1(cosh)
TRN_COMPLEX1(asin) TRN_COMPLEX1(acos) TRN_COMPLEX1(atan) TRN_COMPLEX1(asinh) TRN_COMPLEX1(acosh)
TRN_COMPLEX1(atanh);
// clang-format on
#undef TRN_COMPLEX1
TRN_C complex_t<R> m_log2(complex_t<R> z) {
  const auto l = std::log(std_of(z));
  const R s = R(1.4426950408889634);
  return {l.real() * s, l.imag() * s};
}
TRN_C complex_t<R> m_log1p(complex_t<R> z) {
  // log|1 + z| through the squared distance from -1 keeps small z whole.
  const R x = z.re, y = z.im;
  const R magnitude = m_hypot(x + 1, y);
  const R real = magnitude < 2 ? m_log1p(x * (2 + x) + y * y) / 2 : m_log(magnitude);
  return {real, m_atan2(y, x + 1)};
}
TRN_C complex_t<R> m_expm1(complex_t<R> z) {
  const R half = m_sin(z.im / 2);
  const R e = m_expm1(z.re);
  return {e * m_cos(z.im) - 2 * half * half, (e + 1) * m_sin(z.im)};
}
TRN_C complex_t<R> m_exp2(complex_t<R> z) {
  const R l = R(0.69314718055994531);
  return m_exp(complex_t<R>(z.re * l, z.im * l));
}
TRN_C complex_t<R> m_sigmoid(complex_t<R> z) {
  return complex_t<R>(1) / (complex_t<R>(1) + m_exp(-z));
}
TRN_C complex_t<R> m_pow(complex_t<R> a, complex_t<R> b) {
  return of_std(std::pow(std_of(a), std_of(b)));
}
// The number of larger real part is taken out, so that its exponential cannot overflow.
TRN_C complex_t<R> log_add_exp(complex_t<R> a, complex_t<R> b) {
  if (is_nan(a) || is_nan(b)) return {R(__builtin_nan("")), R(__builtin_nan(""))};
  const bool ordered = a.re <= b.re;
  const complex_t<R> low = ordered ? a : b, high = ordered ? b : a;
  if (low.re == high.re && low.re - low.re != 0)
    return low.re < 0 ? low : m_log(m_exp(low) + m_exp(high));
  return m_log1p(m_exp(low - high)) + high;
}
TRN_C R magnitude(complex_t<R> z) { return m_hypot(z.re, z.im); }
#undef TRN_C

}  // namespace
}  // namespace trn
