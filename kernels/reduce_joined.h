// Reductions that join one number of each element, in any order: sums, products, extremes, norms.
// reals[0]: the factor of a mean.
#pragma once

#include "fold.h"
#include "math.h"
#include "reduce_engine.h"

namespace trn {
namespace {

// What sums over E are kept in, and what short ones are added in before.
// clang-format off
template <class E> struct SumOf { using type = E; using part = E; };
template <> struct SumOf<float> { using type = double; using part = float; };
template <class E> struct SumOfNarrow { using type = int64_t; using part = int32_t; };
template <> struct SumOf<bool> : SumOfNarrow<bool> {};
template <> struct SumOf<uint8_t> : SumOfNarrow<uint8_t> {};
template <> struct SumOf<int8_t> : SumOfNarrow<int8_t> {};
template <> struct SumOf<int16_t> : SumOfNarrow<int16_t> {};
template <> struct SumOf<int32_t> { using type = int64_t; using part = int64_t; };
// clang-format on

// Bytes of truth values are read as bytes: compilers make vectors of those.
// clang-format off
template <class E> struct ByteOf { using type = E; };
template <> struct ByteOf<bool> { using type = uint8_t; };
// clang-format on

struct Plain {
  template <class E>
  static TRN_INLINE E of(E x) {
    return x;
  }
};
struct NanAsZero {
  template <class E>
  static TRN_INLINE E of(E x) {
    return x != x ? E(0) : x;
  }
};

// Numbers that elements become and that are joined in any order. A measure M gives
//   T, Part, State         an element, what a block is joined in, what blocks are joined in
//   start<A>()             the identity of join
//   term(x), join(a, b)    of Parts; join of States too
//   value<k>(state, call)
template <class M>
struct Joined : M {
  using T = typename M::T;
  using Part = typename M::Part;
  using State = typename M::State;
  static constexpr int kOutputs = 1, kNarrow = 8;
  static TRN_INLINE State init(const Call&) { return M::template start<State>(); }
  static TRN_INLINE void merge(State& s, const State& o) { s = M::join(s, o); }
  // Of T, or of a type whose numbers are T's.
  template <class S>
  static TRN_INLINE void block(State& s, const S* x, int64_t n, int64_t) {
    const Part part = fold<Part>(
        n, M::template start<Part>(), [x](int64_t i) { return M::term(static_cast<T>(x[i])); },
        [](auto a, auto b) -> decltype(M::join(a, b)) { return M::join(a, b); });
    s = M::join(s, static_cast<State>(part));
  }
  template <int kCount>
  static TRN_INLINE void some_rows(State* s, const T* x, int64_t ld, int64_t columns) {
#pragma GCC ivdep
    for (int64_t c = 0; c < columns; ++c) {
      Part part = M::term(x[c]);
#pragma GCC unroll 8
      for (int r = 1; r < kCount; ++r) part = M::join(part, M::term(x[r * ld + c]));
      s[c] = M::join(s[c], static_cast<State>(part));
    }
  }
  static void rows(State* s, const T* x, int64_t ld, int64_t n, int64_t columns, int64_t) {
    int64_t r = 0;
    for (; r + kRows <= n; r += kRows) some_rows<kRows>(s, x + r * ld, ld, columns);
    for (; r < n; ++r) some_rows<1>(s, x + r * ld, ld, columns);
  }
};

template <class E, class View, bool kMean>
struct SumMeasure {
  using T = typename ByteOf<E>::type;
  static constexpr DType kStored = DTypeOf<E>::value;
  using Part = typename SumOf<E>::part;
  using State = typename SumOf<E>::type;
  template <class A>
  static TRN_INLINE A start() {
    return 0;
  }
  static TRN_INLINE Part term(T x) {
    if constexpr (__is_same(E, bool)) return x != 0;
    else return static_cast<Part>(View::of(x));
  }
  template <class A>
  static TRN_INLINE A join(A a, A b) {
    return a + b;
  }
  template <int k>
  static TRN_INLINE auto value(State s, const Call& call) {
    if constexpr (kMean) return static_cast<double>(s) * call.reals[0];
    else return s;
  }
};
template <class E, class View, bool kMean>
using Sum = Joined<SumMeasure<E, View, kMean>>;

template <class E>
struct ProductMeasure {
  using T = E;
  using State = typename SumOf<E>::type;
  using Part = State;
  template <class A>
  static TRN_INLINE A start() {
    return 1;
  }
  static TRN_INLINE Part term(T x) { return static_cast<Part>(x); }
  // clang-format off
  template <class A> static TRN_INLINE A join(A a, A b) { return a * b; }
  template <int k> static TRN_INLINE State value(State s, const Call&) { return s; }
  // clang-format on
};
template <class E>
using Product = Joined<ProductMeasure<E>>;

// The exclusive or of the elements' bits, as of a double or a 64-bit integer.
template <class E>
struct HashMeasure {
  using T = E;
  using State = uint64_t;
  using Part = State;
  template <class A>
  static TRN_INLINE A start() {
    return 0;
  }
  static TRN_INLINE Part term(T x) {
    if constexpr (__is_same(E, float) || __is_same(E, double))
      return bit_cast<uint64_t>(static_cast<double>(x));
    else return static_cast<uint64_t>(static_cast<int64_t>(x));
  }
  // clang-format off
  template <class A> static TRN_INLINE A join(A a, A b) { return a ^ b; }
  template <int k> static TRN_INLINE State value(State s, const Call&) { return s; }
  // clang-format on
};
template <class E>
using Hash = Joined<HashMeasure<E>>;

// clang-format off
template <int kBytes> struct BitsOf { using type = uint8_t; };
template <> struct BitsOf<2> { using type = uint16_t; };
template <> struct BitsOf<4> { using type = uint32_t; };
template <> struct BitsOf<8> { using type = uint64_t; };
// clang-format on

// All, or any, of the elements being true: whether one was found that decides.
template <class E, bool kAll>
struct LogicMeasure {
  using T = typename ByteOf<E>::type;
  static constexpr DType kStored = DTypeOf<E>::value;
  using State = uint8_t;
  using Part = typename BitsOf<sizeof(E)>::type;  // comparisons need not be narrowed then
  template <class A>
  static TRN_INLINE A start() {
    return 0;
  }
  static TRN_INLINE Part term(T x) { return kAll ? !(x != T(0)) : x != T(0); }
  // clang-format off
  template <class A> static TRN_INLINE A join(A a, A b) { return static_cast<A>(a | b); }
  template <int k> static TRN_INLINE bool value(State s, const Call&) { return kAll ? !s : s; }
  // clang-format on
};
template <class E, bool kAll>
struct Logic : Joined<LogicMeasure<E, kAll>> {
  using Base = Joined<LogicMeasure<E, kAll>>;
  static TRN_INLINE void block(uint8_t& s, const typename Base::T* x, int64_t n, int64_t at) {
    if (!s) Base::block(s, x, n, at);  // else it is decided
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
  else if constexpr (E(-1) > E(0)) return kMax ? E(0) : E(-1);
  else
    return static_cast<E>(kMax ? E(1) << (sizeof(E) * 8 - 1)
                               : ~(static_cast<uint64_t>(1) << (sizeof(E) * 8 - 1)));
}

template <class E, bool kMax>
struct ExtremeMeasure {
  using T = E;
  using Part = E;
  using State = E;
  static constexpr bool kHasNan = __is_same(E, float) || __is_same(E, double);
  template <class A>
  static TRN_INLINE A start() {
    return worst<E, kMax>();
  }
  static TRN_INLINE E term(E x) { return x; }
  // Of two numbers, or vectors of them; a, where there is a NaN.
  template <class A>
  static TRN_INLINE A number(A a, A b) {
    if constexpr (kMax) return a < b ? b : a;
    else return b < a ? b : a;
  }
  static TRN_INLINE E join(E a, E b) { return kHasNan && b != b ? b : number(a, b); }
  template <int k>
  static TRN_INLINE E value(E s, const Call&) {
    return s;
  }
};
// NaN is looked for only where a product with zero tells of a number that is not finite.
template <class E, bool kMax>
struct FloatExtreme : Joined<ExtremeMeasure<E, kMax>> {
  using M = ExtremeMeasure<E, kMax>;
  using Bits = typename BitsOf<sizeof(E)>::type;
  template <class S>
  static TRN_INLINE void block(E& s, const S* x, int64_t n, int64_t) {
    constexpr int kLanes = kFoldLanes<E>;
    E best[kLanes], zero[kLanes];
    for (int k = 0; k < kLanes; ++k) best[k] = worst<E, kMax>(), zero[k] = 0;
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes)
      for (int k = 0; k < kLanes; ++k) {
        const E v = static_cast<E>(x[i + k]);
        best[k] = M::number(best[k], v);
        zero[k] += v * E(0);
      }
    for (; i < n; ++i) {
      const E v = static_cast<E>(x[i]);
      best[0] = M::number(best[0], v);
      zero[0] += v * E(0);
    }
    const E most = join_lanes<kLanes>(best, [](auto a, auto b) { return M::number(a, b); });
    const bool finite = join_lanes<kLanes>(zero, [](auto a, auto b) { return a + b; }) == 0;
    s = M::join(s, !finite && has_nan(x, n) ? not_a_number<E>() : most);
  }
  template <class S>
  static bool has_nan(const S* x, int64_t n) {
    return fold<Bits>(
        n, 0, [x](int64_t i) { return Bits(static_cast<E>(x[i]) != static_cast<E>(x[i])); },
        [](Bits a, Bits b) { return static_cast<Bits>(a | b); });
  }
  template <int kCount>
  static TRN_INLINE void some_rows(E* s, const E* x, int64_t ld, int64_t columns) {
#pragma GCC ivdep
    for (int64_t c = 0; c < columns; ++c) {
      E best = s[c];
      Bits nan = 0;
#pragma GCC unroll 8
      for (int r = 0; r < kCount; ++r) {
        const E v = x[r * ld + c];
        best = M::number(best, v);
        nan |= v != v;
      }
      s[c] = nan ? not_a_number<E>() : best;
    }
  }
  static void rows(E* s, const E* x, int64_t ld, int64_t n, int64_t columns, int64_t) {
    int64_t r = 0;
    for (; r + kRows <= n; r += kRows) some_rows<kRows>(s, x + r * ld, ld, columns);
    for (; r < n; ++r) some_rows<1>(s, x + r * ld, ld, columns);
  }
};

// clang-format off
template <class E, bool kMax> struct ExtremeOf { using type = Joined<ExtremeMeasure<E, kMax>>; };
template <bool kMax> struct ExtremeOf<bool, kMax> { using type = Logic<bool, !kMax>; };
template <bool kMax> struct ExtremeOf<float, kMax> { using type = FloatExtreme<float, kMax>; };
template <bool kMax> struct ExtremeOf<double, kMax> { using type = FloatExtreme<double, kMax>; };
template <class E, bool kMax> using Extreme = typename ExtremeOf<E, kMax>::type;
// clang-format on

// Vector norms by exponent: 0, 1, 2, infinities and any other each have their own measure of an
// element and way back.
enum class NormKind { zero, one, two, largest, smallest, other };
template <class E, NormKind kind, class Magnitude>
struct NormMeasure {
  using T = E;
  using Part = double;
  using State = double;
  static constexpr bool kExtreme = kind == NormKind::largest || kind == NormKind::smallest;
  using Ends = ExtremeMeasure<double, kind == NormKind::largest>;
  template <class A>
  static TRN_INLINE A start() {
    if constexpr (kExtreme) return Ends::template start<A>();
    else return 0;
  }
  static TRN_INLINE double size(T x) {
    if constexpr (__is_same(E, float) || __is_same(E, double))
      return __builtin_fabs(static_cast<double>(x));
    else return Magnitude::of(x);
  }
  static TRN_INLINE double term(T x) {
    if constexpr (kind == NormKind::zero) return size(x) != 0;
    else if constexpr (kind == NormKind::two) return size(x) * size(x);
    else return size(x);
  }
  static TRN_INLINE double join(double a, double b) {
    if constexpr (kExtreme) return Ends::join(a, b);
    else return a + b;
  }
  template <int k>
  static TRN_INLINE double value(double s, const Call&) {
    const bool nothing = kind == NormKind::largest && s == -infinity<double>();
    return kind == NormKind::two ? __builtin_sqrt(s) : nothing ? 0.0 : s;
  }
};
template <class E, NormKind kind, class Magnitude = Plain>
struct Norm : Joined<NormMeasure<E, kind, Magnitude>> {};

}  // namespace
}  // namespace trn
