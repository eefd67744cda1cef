// Sums and products of complex numbers: plain expressions, fit for every instruction set.
#pragma once

#include "convert.h"

namespace trn {
namespace {

#define TRN_C        \
  template <class R> \
  TRN_INLINE
TRN_C complex_t<R> operator+(complex_t<R> a, complex_t<R> b) { return {a.re + b.re, a.im + b.im}; }
TRN_C complex_t<R> operator-(complex_t<R> a, complex_t<R> b) { return {a.re - b.re, a.im - b.im}; }
TRN_C complex_t<R> operator-(complex_t<R> a) { return {-a.re, -a.im}; }
TRN_C complex_t<R> operator*(complex_t<R> a, complex_t<R> b) {
  return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}
TRN_C complex_t<R>& operator+=(complex_t<R>& a, complex_t<R> b) { return a = a + b; }
TRN_C bool operator==(complex_t<R> a, complex_t<R> b) { return a.re == b.re && a.im == b.im; }
TRN_C bool operator!=(complex_t<R> a, complex_t<R> b) { return !(a == b); }
TRN_C complex_t<R>& operator-=(complex_t<R>& a, complex_t<R> b) { return a = a - b; }
#undef TRN_C

}  // namespace
}  // namespace trn
