// Running sums, products, extremes along one dimension.
#include "scan_lines.h"

namespace trn {
namespace {

// clang-format off
template <class T> struct Wider { using type = T; };
template <> struct Wider<float> { using type = double; };
template <> struct Wider<bf16_t> { using type = float; };
template <> struct Wider<f16_t> { using type = float; };
// clang-format on

template <class Element, bool kProduct>
struct Running {
  using T = Element;
  using State = typename Wider<T>::type;
  static constexpr bool kIndexed = false;
  static TRN_INLINE State start() { return kProduct ? State(1) : State(0); }
  static TRN_INLINE T step(State& s, T x, int64_t) {
    const State y = static_cast<State>(x);
    s = kProduct ? static_cast<State>(s * y) : static_cast<State>(s + y);
    return static_cast<T>(s);
  }
};
// clang-format off
template <class T> void cumsum(const Call& c, const Range& r) { scan<Running<T, false>>(c, r); }
template <class T> void cumprod(const Call& c, const Range& r) { scan<Running<T, true>>(c, r); }
// clang-format on

template <class Element>
struct RunningLogSum {
  using T = Element;
  using State = double;
  static constexpr bool kIndexed = false;
  static TRN_INLINE State start() { return -__builtin_inf(); }
  static TRN_INLINE T step(State& s, T element, int64_t) {
    const double x = static_cast<double>(static_cast<acc_t<T>>(element));
    const double high = s < x ? x : s, low = s < x ? s : x;
    if (x != x || s != s) s = x + s;
    else if (low != high || high - high == 0) s = high + __builtin_log1p(__builtin_exp(low - high));
    return static_cast<T>(static_cast<acc_t<T>>(s));
  }
};
template <class T>
void logcumsumexp(const Call& c, const Range& r) {
  scan<RunningLogSum<T>>(c, r);
}

template <class Element, bool kMax>
struct RunningExtreme {
  using T = Element;
  struct State {
    T value;
    int64_t index;
  };
  static constexpr bool kIndexed = true;
  static TRN_INLINE State start() { return {T(), -1}; }
  // The latest of equals, and NaN from where it first appears on.
  static TRN_INLINE T step(State& s, T x, int64_t i) {
    if (s.index < 0 || x != x || (s.value == s.value && (kMax ? x >= s.value : x <= s.value)))
      s = {x, i};
    return s.value;
  }
};
// clang-format off
template <class T>
void cummax(const Call& c, const Range& r) { scan<RunningExtreme<T, true>>(c, r); }
template <class T>
void cummin(const Call& c, const Range& r) { scan<RunningExtreme<T, false>>(c, r); }
// clang-format on

#define TRN_REGISTER_REAL_SCAN(name) \
  TRN_REGISTER_FLOATS(name, name);   \
  TRN_REGISTER_INTS(name, name)
TRN_REGISTER_REAL_SCAN(cumsum);
TRN_REGISTER_REAL_SCAN(cumprod);
TRN_REGISTER_REAL_SCAN(cummax);
TRN_REGISTER_REAL_SCAN(cummin);
TRN_REGISTER_FLOATS(logcumsumexp, logcumsumexp);

}  // namespace
}  // namespace trn
