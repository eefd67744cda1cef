// Running sums, products and log-sum-exps of complex numbers.
#include "complex.h"
#include "scan_lines.h"

namespace trn {
namespace {

template <class Number>
struct Complex {
  using T = Number;
  using State = T;
  static constexpr bool kIndexed = false;
};
template <class T>
struct RunningSum : Complex<T> {
  static T start() { return T(0); }
  static T step(T& s, T x, int64_t) { return s = s + x; }
};
template <class T>
struct RunningProduct : Complex<T> {
  static T start() { return T(1); }
  static T step(T& s, T x, int64_t) { return s = s * x; }
};
template <class T>
struct RunningLogSum : Complex<T> {
  using State = c128_t;
  static State start() { return State(-__builtin_inf()); }
  static T step(State& s, T x, int64_t) {
    s = log_add_exp(s, c128_t(x.re, x.im));
    return T(s.re, s.im);
  }
};
// clang-format off
template <class T> void cumsum(const Call& c, const Range& r) { scan<RunningSum<T>>(c, r); }
template <class T> void cumprod(const Call& c, const Range& r) { scan<RunningProduct<T>>(c, r); }
template <class T>
void logcumsumexp(const Call& c, const Range& r) { scan<RunningLogSum<T>>(c, r); }
// clang-format on

TRN_REGISTER_COMPLEX(cumsum, cumsum);
TRN_REGISTER_COMPLEX(cumprod, cumprod);
TRN_REGISTER_COMPLEX(logcumsumexp, logcumsumexp);

}  // namespace
}  // namespace trn
