// What the kernels of dense linear algebra share: scalars of four types, columns, reflections.
//
// T is float, double or a complex number of them. A matrix that a kernel works on in place lies
// column after column, its rows side by side; the operator layer sees to that.
#pragma once

#include "complex_arithmetic.h"
#include "math.h"

namespace trn {
namespace {

// clang-format off
template <class T> struct RealOf { using type = T; };
template <class R> struct RealOf<complex_t<R>> { using type = R; };
template <class T> using real_t = typename RealOf<T>::type;
// clang-format on

// clang-format off
template <class R> TRN_INLINE R conj_of(R x) { return x; }
template <class R> TRN_INLINE complex_t<R> conj_of(complex_t<R> x) { return {x.re, -x.im}; }
template <class R> TRN_INLINE R real_of(R x) { return x; }
template <class R> TRN_INLINE R real_of(complex_t<R> x) { return x.re; }
template <class R> TRN_INLINE R imag_of(R) { return 0; }
template <class R> TRN_INLINE R imag_of(complex_t<R> x) { return x.im; }
template <class R> TRN_INLINE R square_of(R x) { return x * x; }
template <class R> TRN_INLINE R square_of(complex_t<R> x) { return x.re * x.re + x.im * x.im; }
template <class R> TRN_INLINE R size_of(R x) { return m_fabs(x); }
template <class R> TRN_INLINE R size_of(complex_t<R> x) { return m_hypot(x.re, x.im); }
// clang-format on
// |re| + |im|: what pivots are chosen by.
// clang-format off
template <class R> TRN_INLINE R cheap_size(R x) { return m_fabs(x); }
template <class R> TRN_INLINE R cheap_size(complex_t<R> x) { return m_fabs(x.re) + m_fabs(x.im); }
// clang-format on

// clang-format off
template <class R> TRN_INLINE R times(R x, R r) { return x * r; }
template <class R> TRN_INLINE complex_t<R> times(complex_t<R> x, R r) {
  return {x.re * r, x.im * r};
}
template <class R> TRN_INLINE R divided(R a, R b) { return a / b; }
// clang-format on
// Smith's: divides by the larger part first, so that nothing overflows on the way.
template <class R>
TRN_INLINE complex_t<R> divided(complex_t<R> a, complex_t<R> b) {
  if (m_fabs(b.re) >= m_fabs(b.im)) {
    const R r = b.im / b.re, d = b.re + b.im * r;
    return {(a.re + a.im * r) / d, (a.im - a.re * r) / d};
  }
  const R r = b.re / b.im, d = b.re * r + b.im;
  return {(a.re * r + a.im) / d, (a.im * r - a.re) / d};
}

template <class T>
constexpr real_t<T> epsilon() {
  return sizeof(real_t<T>) == 4 ? real_t<T>(5.9604645e-8) : real_t<T>(1.1102230246251565e-16);
}

// Matrix `b` of an operand [batch, rows, columns].
template <class T>
struct Matrix {
  T* data;
  int64_t rows, cols, down, across;  // sizes; steps to the next row and to the next column
  TRN_INLINE T& at(int64_t i, int64_t j) const { return data[i * down + j * across]; }
  TRN_INLINE T* column(int64_t j) const { return data + j * across; }
};
template <class T>
TRN_INLINE Matrix<T> matrix_of(const Operand& o, int64_t b) {
  return {o.as<T>() + b * o.strides[0], o.sizes[1], o.sizes[2], o.strides[1], o.strides[2]};
}

// y += a x
template <class T>
TRN_INLINE void add_scaled(T* y, const T* x, T a, int64_t n) {
  _Pragma("GCC ivdep") for (int64_t i = 0; i < n; ++i) y[i] += a * x[i];
}
template <class T>
TRN_INLINE void scale(T* x, real_t<T> a, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] = times(x[i], a);
}

constexpr int kParts = 16;  // partial sums of a dot product, so that it vectorises
template <class T>
TRN_INLINE T sum_parts(T* part) {
  for (int step = kParts / 2; step > 0; step /= 2)
    for (int i = 0; i < step; ++i) part[i] += part[i + step];
  return part[0];
}
// sum conj(x) y
template <class T>
TRN_INLINE T dot(const T* x, const T* y, int64_t n) {
  T part[kParts];
  for (int l = 0; l < kParts; ++l) part[l] = T(0);
  int64_t i = 0;
  for (; i + kParts <= n; i += kParts)
    for (int l = 0; l < kParts; ++l) part[l] += conj_of(x[i + l]) * y[i + l];
  for (int l = 0; i < n; ++i, ++l) part[l] += conj_of(x[i]) * y[i];
  return sum_parts(part);
}

// |x| without overflow: in double, and scaled where that is not enough.
template <class T>
TRN_INLINE real_t<T> norm(const T* x, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) {
    const double re = real_of(x[i]), im = imag_of(x[i]);
    sum += re * re + im * im;
  }
  if (sizeof(real_t<T>) == 4 || (sum > 1e-280 && sum < 1e300)) return real_t<T>(m_sqrt(sum));
  double top = 0;
  for (int64_t i = 0; i < n; ++i) {
    const double s = cheap_size(x[i]);
    top = s > top || s != s ? s : top;
  }
  if (!(top > 0) || top - top != 0) return real_t<T>(top);
  sum = 0;
  for (int64_t i = 0; i < n; ++i) {
    const double re = real_of(x[i]) / top, im = imag_of(x[i]) / top;
    sum += re * re + im * im;
  }
  return real_t<T>(top * m_sqrt(sum));
}

// A power of two near the largest element of a matrix (of its lower triangle), by which it is
// divided before lengths are squared; 1 between `large` and its inverse, where there is no need;
// not finite where an element is not.
template <class T>
real_t<T> scale_of(Matrix<T> a, bool lower, real_t<T> large) {
  using R = real_t<T>;
  R top = 0;
  for (int64_t j = 0; j < a.cols; ++j)
    for (int64_t i = lower ? j : 0; i < a.rows; ++i) {
      const R s = cheap_size(a.at(i, j));
      top = s > top || s != s ? s : top;
    }
  if (top - top != 0) return top;
  if (top == 0 || (top <= large && top >= 1 / large)) return 1;
  return m_exp2(m_floor(m_log2(top)));
}

// The reflection H = 1 - tau v v^H with H^H (alpha, x) = (beta, 0), beta real and v = (1, x'):
// x becomes x', alpha becomes beta. Returns tau, 0 where there is nothing to reflect.
template <class T>
TRN_INLINE T reflection(T& alpha, T* x, int64_t n) {
  using R = real_t<T>;
  R rest = norm(x, n);
  if (rest == 0 && imag_of(alpha) == 0) return T(0);
  // Numbers whose inverse overflows are worked on larger.
  const bool tiny = m_hypot(size_of(alpha), rest) < (sizeof(R) == 4 ? R(1e-30) : R(1e-290));
  const R up = !tiny ? R(1) : sizeof(R) == 4 ? R(0x1p100) : R(0x1p930);
  if (tiny) {
    alpha = times(alpha, up);
    scale(x, up, n);
    rest = norm(x, n);
  }
  const R length = m_hypot(size_of(alpha), rest);
  const R beta = real_of(alpha) >= 0 ? -length : length;
  const T tau = times(T(beta) - alpha, R(1) / beta);
  const T factor = divided(T(1), alpha - T(beta));
  for (int64_t i = 0; i < n; ++i) x[i] = x[i] * factor;
  alpha = T(beta / up);
  return tau;
}

// Applies 1 - tau v v^H to a column (first, rest), v = (1, x).
template <class T>
TRN_INLINE void reflect(T& first, T* rest, const T* x, T tau, int64_t n) {
  const T product = tau * (first + dot(x, rest, n));
  first -= product;
  add_scaled(rest, x, -product, n);
}

}  // namespace
}  // namespace trn

#define TRN_REGISTER_LINALG(name, fn)                 \
  TRN_REGISTER(#name, ::trn::DType::f32, fn<float>);  \
  TRN_REGISTER(#name, ::trn::DType::f64, fn<double>); \
  TRN_REGISTER_COMPLEX(name, fn)
