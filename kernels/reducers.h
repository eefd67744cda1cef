// The reducers of real types. reals[0]: the factor of a mean, the exponent of a norm, or the
// correction of a variance, as the name says.
#pragma once

#include "math.h"
#include "reduce_engine.h"

namespace trn {
namespace {

// Sums are kept in double (in the type itself for integers) over blocks summed in sixteen lanes.
template <class E> struct SumOf { using type = E; };
template <> struct SumOf<float> { using type = double; };
template <> struct SumOf<bool> { using type = int64_t; };
template <> struct SumOf<uint8_t> { using type = int64_t; };
template <> struct SumOf<int8_t> { using type = int64_t; };
template <> struct SumOf<int16_t> { using type = int64_t; };
template <> struct SumOf<int32_t> { using type = int64_t; };

struct Plain {
  template <class E> static TRN_INLINE E of(E x) { return x; }
};
struct NanAsZero {
  template <class E> static TRN_INLINE E of(E x) { return x != x ? E(0) : x; }
};

// Adds f(x) of n elements: sixteen running sums, then a tree.
template <class A, class E, class F>
TRN_INLINE A lane_sum(const E* x, int64_t n, F f) {
  constexpr int kLanes = 16;
  A lane[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int k = 0; k < kLanes; ++k) lane[k] += f(x[i + k]);
  for (int k = 0; i < n; ++i, ++k) lane[k] += f(x[i]);
  for (int width = kLanes / 2; width > 0; width /= 2)
    for (int k = 0; k < width; ++k) lane[k] += lane[k + width];
  return lane[0];
}

template <class E, class View, bool kMean>
struct Sum {
  using T = E;
  using State = typename SumOf<E>::type;
  using Lane = __typeof__(E() + E());
  static TRN_INLINE State init(const Call&) { return 0; }
  static TRN_INLINE void block(State& s, const T* x, int64_t n, int64_t) {
    if constexpr (__is_same(E, float))
      s += static_cast<State>(lane_sum<float>(x, n, [](float v) { return View::of(v); }));
    else
      s += lane_sum<State>(x, n, [](E v) { return static_cast<State>(View::of(v)); });
  }
  static TRN_INLINE void one(State& s, T x, int64_t) { s += static_cast<State>(View::of(x)); }
  static TRN_INLINE void merge(State& s, const State& o) { s += o; }
  static TRN_INLINE void store(const State& s, const Call& call, int, const Operand& o,
                               int64_t at) {
    if constexpr (kMean) put(o, at, static_cast<double>(s) * call.reals[0]);
    else put(o, at, s);
  }
};

template <class E>
struct Product {
  using T = E;
  using State = typename SumOf<E>::type;
  static TRN_INLINE State init(const Call&) { return 1; }
  static TRN_INLINE void block(State& s, const T* x, int64_t n, int64_t) {
    for (int64_t i = 0; i < n; ++i) s *= static_cast<State>(x[i]);
  }
  static TRN_INLINE void one(State& s, T x, int64_t) { s *= static_cast<State>(x); }
  static TRN_INLINE void merge(State& s, const State& o) { s *= o; }
  static TRN_INLINE void store(const State& s, const Call&, int, const Operand& o, int64_t at) {
    put(o, at, s);
  }
};

// The exclusive or of the elements' bits, as of a double or a 64-bit integer.
template <class E>
struct Hash {
  using T = E;
  using State = uint64_t;
  static TRN_INLINE State bits(E x) {
    if constexpr (__is_same(E, float) || __is_same(E, double))
      return bit_cast<uint64_t>(static_cast<double>(x));
    else return static_cast<uint64_t>(static_cast<int64_t>(x));
  }
  static TRN_INLINE State init(const Call&) { return 0; }
  static TRN_INLINE void block(State& s, const T* x, int64_t n, int64_t) {
    for (int64_t i = 0; i < n; ++i) s ^= bits(x[i]);
  }
  static TRN_INLINE void one(State& s, T x, int64_t) { s ^= bits(x); }
  static TRN_INLINE void merge(State& s, const State& o) { s ^= o; }
  static TRN_INLINE void store(const State& s, const Call&, int, const Operand& o, int64_t at) {
    put(o, at, s);
  }
};

// All, or any, of the elements being true.
template <class E, bool kAll>
struct Logic {
  using T = E;
  using State = bool;
  static TRN_INLINE State init(const Call&) { return kAll; }
  static TRN_INLINE void one(State& s, T x, int64_t) {
    s = kAll ? s && x != T(0) : s || x != T(0);
  }
  static TRN_INLINE void block(State& s, const T* x, int64_t n, int64_t) {
    int64_t count = 0;
    for (int64_t i = 0; i < n; ++i) count += x[i] != T(0);
    s = kAll ? s && count == n : s || count > 0;
  }
  static TRN_INLINE void merge(State& s, const State& o) { s = kAll ? s && o : s || o; }
  static TRN_INLINE void store(const State& s, const Call&, int, const Operand& o, int64_t at) {
    put(o, at, s);
  }
};

// Largest or smallest value; NaN wins over all.
template <class E, bool kMax>
TRN_INLINE bool beats(E x, E y) {
  return x != x ? y == y : kMax ? x > y : x < y;
}
template <class E, bool kMax>
TRN_INLINE E worst() {
  if constexpr (__is_same(E, float) || __is_same(E, double))
    return kMax ? -infinity<E>() : infinity<E>();
  else if constexpr (__is_same(E, bool))
    return !kMax;
  else if constexpr (E(-1) > E(0))
    return kMax ? E(0) : E(-1);
  else
    return static_cast<E>(kMax ? E(1) << (sizeof(E) * 8 - 1)
                               : ~(static_cast<uint64_t>(1) << (sizeof(E) * 8 - 1)));
}

template <class E, bool kMax>
struct Extreme {
  using T = E;
  using State = E;
  static TRN_INLINE State init(const Call&) { return worst<E, kMax>(); }
  static TRN_INLINE void one(State& s, T x, int64_t) {
    s = x != x || s != s ? (s != s ? s : x) : (kMax ? (s < x ? x : s) : (x < s ? x : s));
  }
  static TRN_INLINE void block(State& s, const T* x, int64_t n, int64_t) {
    constexpr int kLanes = 16;
    E lane[kLanes];
    for (int k = 0; k < kLanes; ++k) lane[k] = s;
    int64_t nans = 0, i = 0;
    for (; i + kLanes <= n; i += kLanes)
      for (int k = 0; k < kLanes; ++k) {
        const E v = x[i + k];
        nans += v != v;
        lane[k] = kMax ? (lane[k] < v ? v : lane[k]) : (v < lane[k] ? v : lane[k]);
      }
    for (; i < n; ++i) one(lane[0], x[i], 0);
    if constexpr (__is_same(E, float) || __is_same(E, double))
      if (nans) s = not_a_number<E>();
    for (int k = 0; k < kLanes; ++k) one(s, lane[k], 0);
  }
  static TRN_INLINE void merge(State& s, const State& o) { one(s, o, 0); }
  static TRN_INLINE void store(const State& s, const Call&, int, const Operand& o, int64_t at) {
    put(o, at, s);
  }
};

// The extreme value and where it stands first. Outputs: kIndexOnly the index, else both.
template <class E, bool kMax, bool kIndexOnly>
struct ArgExtreme {
  using T = E;
  struct State {
    int64_t index;
    E value;
  };
  static TRN_INLINE State init(const Call&) { return {INT64_MAX, worst<E, kMax>()}; }
  static TRN_INLINE void one(State& s, T x, int64_t at) {
    const bool better = s.index == INT64_MAX || beats<E, kMax>(x, s.value);
    s.value = better ? x : s.value;
    s.index = better ? at : s.index;
  }
  static TRN_INLINE void block(State& s, const T* x, int64_t n, int64_t at) {
    // The block's extreme first, in a loop that vectorises; its place only if it wins.
    E best = worst<E, kMax>();
    Extreme<E, kMax>::block(best, x, n, 0);
    if (s.index != INT64_MAX && !beats<E, kMax>(best, s.value)) return;
    for (int64_t i = 0; i < n; ++i)
      if (x[i] == best || (x[i] != x[i] && best != best)) {
        s = {at + i, x[i]};
        return;
      }
  }
  static TRN_INLINE void merge(State& s, const State& o) {
    if (o.index != INT64_MAX) one(s, o.value, o.index);
  }
  static TRN_INLINE void store(const State& s, const Call&, int k, const Operand& o, int64_t at) {
    if (kIndexOnly || k == 1) put(o, at, s.index);
    else put(o, at, s.value);
  }
};

// Smallest and largest at once; two outputs.
template <class E>
struct MinMax {
  using T = E;
  struct State {
    E low, high;
  };
  static TRN_INLINE State init(const Call&) { return {worst<E, false>(), worst<E, true>()}; }
  static TRN_INLINE void one(State& s, T x, int64_t) {
    Extreme<E, false>::one(s.low, x, 0);
    Extreme<E, true>::one(s.high, x, 0);
  }
  static TRN_INLINE void block(State& s, const T* x, int64_t n, int64_t) {
    Extreme<E, false>::block(s.low, x, n, 0);
    Extreme<E, true>::block(s.high, x, n, 0);
  }
  static TRN_INLINE void merge(State& s, const State& o) {
    Extreme<E, false>::one(s.low, o.low, 0);
    Extreme<E, true>::one(s.high, o.high, 0);
  }
  static TRN_INLINE void store(const State& s, const Call&, int k, const Operand& o, int64_t at) {
    put(o, at, k ? s.high : s.low);
  }
};

// Variance by blocks of two passes, joined as Chan, Golub and LeVeque do (1983). Output 0 is the
// variance, or the deviation if ints[3]; output 1 the mean.
template <class E>
struct Variance {
  using T = E;
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
    const double mean =
        lane_sum<double>(x, n, [](E v) { return static_cast<double>(v); }) / static_cast<double>(n);
    const double squares = lane_sum<double>(x, n, [mean](E v) {
      const double d = static_cast<double>(v) - mean;
      return d * d;
    });
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
  static TRN_INLINE void store(const State& s, const Call& call, int k, const Operand& o,
                               int64_t at) {
    const double divisor = s.count - call.reals[0];
    const double variance = s.squares / (divisor > 0 ? divisor : 0);
    const double mean = s.count > 0 ? s.mean : not_a_number<double>();
    put(o, at, k ? mean : call.ints[3] ? __builtin_sqrt(variance) : variance);
  }
};

// Vector norms by exponent: 0, 1, 2, infinities and any other each have their own measure of an
// element and way back.
enum class NormKind { zero, one, two, largest, smallest, other };
template <class E, NormKind kind, class Magnitude = Plain>
struct Norm {
  using T = E;
  using State = double;
  static TRN_INLINE double size(T x) {
    if constexpr (__is_same(E, float) || __is_same(E, double))
      return x < 0 ? -static_cast<double>(x) : static_cast<double>(x);
    else
      return Magnitude::of(x);
  }
  static TRN_INLINE State init(const Call&) {
    return kind == NormKind::largest    ? -infinity<double>()
           : kind == NormKind::smallest ? infinity<double>()
                                        : 0;
  }
  static TRN_INLINE void one(State& s, T x, int64_t) {
    const double m = size(x);
    if constexpr (kind == NormKind::zero) s += m != 0;
    if constexpr (kind == NormKind::one) s += m;
    if constexpr (kind == NormKind::two) s += m * m;
    if constexpr (kind == NormKind::largest) Extreme<double, true>::one(s, m, 0);
    if constexpr (kind == NormKind::smallest) Extreme<double, false>::one(s, m, 0);
  }
  static TRN_INLINE void block(State& s, const T* x, int64_t n, int64_t) {
    if constexpr (kind == NormKind::two)
      s += lane_sum<double>(x, n, [](E v) { return size(v) * size(v); });
    else if constexpr (kind == NormKind::one)
      s += lane_sum<double>(x, n, [](E v) { return size(v); });
    else
      for (int64_t i = 0; i < n; ++i) one(s, x[i], 0);
  }
  static TRN_INLINE void merge(State& s, const State& o) {
    if constexpr (kind == NormKind::largest) Extreme<double, true>::one(s, o, 0);
    else if constexpr (kind == NormKind::smallest) Extreme<double, false>::one(s, o, 0);
    else s += o;
  }
  static TRN_INLINE void store(const State& s, const Call&, int, const Operand& o, int64_t at) {
    const bool nothing = kind == NormKind::largest && s == -infinity<double>();
    put(o, at, kind == NormKind::two ? __builtin_sqrt(s) : nothing ? 0.0 : s);
  }
};

// Any other exponent: the state carries it, since only init() sees the call.
template <class E, class Magnitude>
struct Norm<E, NormKind::other, Magnitude> {
  using T = E;
  struct State {
    double sum, p;
  };
  using Size = Norm<E, NormKind::one, Magnitude>;
  static TRN_INLINE State init(const Call& call) { return {0, call.reals[0]}; }
  static TRN_INLINE void one(State& s, T x, int64_t) { s.sum += __builtin_pow(Size::size(x), s.p); }
  static TRN_INLINE void block(State& s, const T* x, int64_t n, int64_t) {
    for (int64_t i = 0; i < n; ++i) one(s, x[i], 0);
  }
  static TRN_INLINE void merge(State& s, const State& o) { s.sum += o.sum; }
  static TRN_INLINE void store(const State& s, const Call&, int, const Operand& o, int64_t at) {
    put(o, at, __builtin_pow(s.sum, 1.0 / s.p));
  }
};

}  // namespace
}  // namespace trn
