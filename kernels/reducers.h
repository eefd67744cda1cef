// The other reducers of real types. reals[0]: the exponent of a norm, or the correction of a
// variance.
#pragma once

#include "reduce_joined.h"

namespace trn {
namespace {

// Reducers that take rows an element at a time.
template <class R>
struct ByElements : R {
  static constexpr int kNarrow = 0;
  static void rows(typename R::State* s, const typename R::T* x, int64_t ld, int64_t n,
                   int64_t columns, int64_t at) {
    for (int64_t r = 0; r < n; ++r)
      _Pragma("GCC ivdep") for (int64_t c = 0; c < columns; ++c)
          R::one(s[c], x[r * ld + c], at + r);
  }
};

// The extreme value and where it stands first. Outputs: kIndexOnly the index, else both.
template <class E, bool kMax, bool kIndexOnly>
struct ArgExtreme {
  using T = typename ByteOf<E>::type;
  static constexpr DType kStored = DTypeOf<E>::value;
  static constexpr int kOutputs = kIndexOnly ? 1 : 2, kNarrow = 32;
  struct State {
    int64_t index;
    T value;
  };
  static TRN_INLINE State init(const Call&) { return {INT64_MAX, worst<T, kMax>()}; }
  static TRN_INLINE void one(State& s, T x, int64_t at) {
    const bool better = s.index == INT64_MAX || beats<T, kMax>(x, s.value);
    s.value = better ? x : s.value;
    s.index = better ? at : s.index;
  }
  static TRN_INLINE void block(State& s, const T* x, int64_t n, int64_t at) {
    // The block's extreme first, in a loop that vectorises; its place only if it wins.
    T best = worst<T, kMax>();
    Extreme<T, kMax>::block(best, x, n, 0);
    if (s.index != INT64_MAX && !beats<T, kMax>(best, s.value)) return;
    const auto is_best = [best](T v) { return (v == best) | ((v != v) & (best != best)); };
    constexpr int64_t kLook = 64;
    int64_t i = 0;
    for (; i + kLook <= n; i += kLook) {
      int found = 0;
      for (int64_t k = 0; k < kLook; ++k) found |= is_best(x[i + k]);
      if (found) break;
    }
    while (!is_best(x[i])) ++i;
    s = {at + i, x[i]};
  }
  // In each column the extreme of some rows and its row; few change what was found before.
  template <class Width>
  static TRN_INLINE void some_rows(State* s, const T* x, int64_t ld, int n, Width width,
                                   int64_t at) {
    constexpr int kMost = 64;
    T best[kMost];
    uint8_t row[kMost];
    for (int k = 0; k < width; ++k) {
      best[k] = x[k];
      row[k] = 0;
    }
    for (int r = 1; r < n; ++r)
      for (int k = 0; k < width; ++k) {
        const T v = x[r * ld + k];
        const bool better = (kMax ? v > best[k] : v < best[k]) | ((v != v) & (best[k] == best[k]));
        best[k] = better ? v : best[k];
        row[k] = better ? static_cast<uint8_t>(r) : row[k];
      }
    for (int k = 0; k < width; ++k) one(s[k], best[k], at + row[k]);
  }
  static void rows(State* s, const T* x, int64_t ld, int64_t n, int64_t columns, int64_t at) {
    constexpr std::integral_constant<int, 64> kWidth;
    for (int64_t r = 0; r < n; r += kRows) {
      const int some = static_cast<int>(n - r < kRows ? n - r : kRows);
      int64_t c = 0;
      for (; c + kWidth <= columns; c += kWidth)
        some_rows(s + c, x + r * ld + c, ld, some, kWidth, at + r);
      if (c < columns)
        some_rows(s + c, x + r * ld + c, ld, some, static_cast<int>(columns - c), at + r);
    }
  }
  static TRN_INLINE void merge(State& s, const State& o) {
    if (o.index != INT64_MAX) one(s, o.value, o.index);
  }
  template <int k>
  static TRN_INLINE auto value(const State& s, const Call&) {
    if constexpr (kIndexOnly || k == 1) return s.index;
    else return s.value;
  }
};

// Smallest and largest at once; two outputs.
template <class E>
struct MinMaxElements {
  using T = typename ByteOf<E>::type;
  static constexpr DType kStored = DTypeOf<E>::value;
  static constexpr int kOutputs = 2;
  using Low = Extreme<T, false>;
  using High = Extreme<T, true>;
  struct State {
    T low, high;
  };
  static TRN_INLINE State init(const Call& call) { return {Low::init(call), High::init(call)}; }
  static TRN_INLINE void one(State& s, T x, int64_t) { merge(s, {x, x}); }
  static TRN_INLINE void block(State& s, const T* x, int64_t n, int64_t) {
    Low::block(s.low, x, n, 0);
    High::block(s.high, x, n, 0);
  }
  static TRN_INLINE void merge(State& s, const State& o) {
    s = {Low::join(s.low, o.low), High::join(s.high, o.high)};
  }
  template <int k>
  static TRN_INLINE T value(const State& s, const Call&) {
    return k ? s.high : s.low;
  }
};
template <class E>
using MinMax = ByElements<MinMaxElements<E>>;

// Variance by blocks of two passes, joined as Chan, Golub and LeVeque do (1983). Output 0 is the
// variance, or the deviation if ints[3]; output 1 the mean.
template <class E>
struct VarianceElements {
  using T = E;
  static constexpr int kOutputs = 2;
  struct State {
    double count, mean, squares;
  };
  static TRN_INLINE State init(const Call&) { return {0, 0, 0}; }
  static TRN_INLINE void one(State& s, T x, int64_t) {
    s.count += 1;
    const double d = static_cast<double>(x) - s.mean;
    s.mean += d / s.count;
    s.squares += d * (static_cast<double>(x) - s.mean);
  }
  static TRN_INLINE void block(State& s, const T* x, int64_t n, int64_t) {
    const auto add = [](double a, double b) { return a + b; };
    const auto number = [x](int64_t i) { return static_cast<double>(x[i]); };
    const double mean = fold<double>(n, 0, number, add) / static_cast<double>(n);
    const auto square = [&](int64_t i) { return (number(i) - mean) * (number(i) - mean); };
    const double squares = fold<double>(n, 0, square, add);
    merge(s, {static_cast<double>(n), mean, squares});
  }
  static TRN_INLINE void merge(State& s, const State& o) {
    if (o.count == 0) return;
    const double count = s.count + o.count;
    const double d = o.mean - s.mean;
    s.mean += d * (o.count / count);
    s.squares += o.squares + d * d * (s.count * o.count / count);
    s.count = count;
  }
  template <int k>
  static TRN_INLINE double value(const State& s, const Call& call) {
    const double divisor = s.count - call.reals[0];
    const double variance = s.squares / (divisor > 0 ? divisor : 0);
    if constexpr (k) return s.count > 0 ? s.mean : not_a_number<double>();
    else return call.ints[3] ? __builtin_sqrt(variance) : variance;
  }
};
template <class E>
using Variance = ByElements<VarianceElements<E>>;

// Norms of any other exponent: the state carries it, since only init() sees the call.
template <class E, class Magnitude>
struct PowerElements {
  using T = E;
  static constexpr int kOutputs = 1;
  struct State {
    double sum, p;
  };
  using Size = NormMeasure<E, NormKind::one, Magnitude>;
  static TRN_INLINE State init(const Call& call) { return {0, call.reals[0]}; }
  static TRN_INLINE void one(State& s, T x, int64_t) { s.sum += __builtin_pow(Size::size(x), s.p); }
  static TRN_INLINE void block(State& s, const T* x, int64_t n, int64_t) {
    for (int64_t i = 0; i < n; ++i) one(s, x[i], 0);
  }
  static TRN_INLINE void merge(State& s, const State& o) { s.sum += o.sum; }
  template <int k>
  static TRN_INLINE double value(const State& s, const Call&) {
    return __builtin_pow(s.sum, 1.0 / s.p);
  }
};
template <class E, class Magnitude>
struct Norm<E, NormKind::other, Magnitude> : ByElements<PowerElements<E, Magnitude>> {};

}  // namespace
}  // namespace trn
