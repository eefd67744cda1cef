// Scalar functions in a form that compilers vectorise: no branch, no call, float in and out.
//
// float has its own polynomials where speed matters (Cody-Waite reductions and minimax
// coefficients, some of them the Cephes library's, at most 2 or 3 ULP; tests/kernels measures
// them); the rest and all of double are the C library's.
#pragma once

#include "angles.h"

namespace trn {
namespace {

TRN_INLINE double magnitude(double x) { return __builtin_fabs(x); }

// One name for both real types, so that a row's expression reads the same for each.
#define TRN_FAST(name)                                          \
  TRN_INLINE float m_##name(float x) { return fast_##name(x); } \
  TRN_INLINE double m_##name(double x) { return __builtin_##name(x); }
// clang-format off
TRN_FAST(acos) TRN_FAST(acosh) TRN_FAST(asin) TRN_FAST(asinh) TRN_FAST(atan) TRN_FAST(atanh)
TRN_FAST(cosh) TRN_FAST(sinh) TRN_FAST(log2) TRN_FAST(log10) TRN_FAST(log1p) TRN_FAST(exp)
TRN_FAST(exp2) TRN_FAST(log) TRN_FAST(tanh) TRN_FAST(expm1);
// clang-format on
#undef TRN_FAST
TRN_INLINE float m_sigmoid(float x) { return fast_sigmoid(x); }
TRN_INLINE double m_sigmoid(double x) { return 1.0 / (1.0 + __builtin_exp(-x)); }

#define TRN_LIBM1(name)                                                 \
  TRN_INLINE float m_##name(float x) { return __builtin_##name##f(x); } \
  TRN_INLINE double m_##name(double x) { return __builtin_##name(x); }
// clang-format off
TRN_LIBM1(tan) TRN_LIBM1(sin) TRN_LIBM1(cos) TRN_LIBM1(sqrt) TRN_LIBM1(floor) TRN_LIBM1(ceil)
TRN_LIBM1(trunc) TRN_LIBM1(nearbyint) TRN_LIBM1(fabs);
// clang-format on
#undef TRN_LIBM1
TRN_INLINE float m_erfc(float x) { return static_cast<float>(__builtin_erfc(x)); }
TRN_INLINE double m_erfc(double x) { return __builtin_erfc(x); }
#define TRN_LIBM2(name)                                                             \
  TRN_INLINE float m_##name(float x, float y) { return __builtin_##name##f(x, y); } \
  TRN_INLINE double m_##name(double x, double y) { return __builtin_##name(x, y); }
// clang-format off
TRN_LIBM2(fmod) TRN_LIBM2(nextafter) TRN_LIBM2(copysign);
// clang-format on
#undef TRN_LIBM2

TRN_INLINE float m_atan2(float y, float x) { return fast_atan2(y, x); }
TRN_INLINE double m_atan2(double y, double x) { return __builtin_atan2(y, x); }
TRN_INLINE float m_pow(float x, float y) { return fast_pow(x, y); }
TRN_INLINE double m_pow(double x, double y) { return __builtin_pow(x, y); }
// Squares of floats do not overflow a double.
TRN_INLINE float m_hypot(float x, float y) {
  const double a = x, b = y;
  const float r = static_cast<float>(__builtin_sqrt(a * a + b * b)), inf = __builtin_inff();
  return magnitude(x) == inf || magnitude(y) == inf ? inf : r;
}
TRN_INLINE double m_hypot(double x, double y) { return __builtin_hypot(x, y); }

template <class T>
TRN_INLINE bool is_nan(T x) {
  return x != x;
}
template <class T>
TRN_INLINE T infinity() {
  return static_cast<T>(__builtin_inf());
}
template <class T>
TRN_INLINE T not_a_number() {
  return static_cast<T>(__builtin_nan(""));
}

}  // namespace
}  // namespace trn
