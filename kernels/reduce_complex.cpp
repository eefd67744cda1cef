// Reductions of complex numbers.
#include "complex.h"
#include "reducers.h"

namespace trn {
namespace {

template <class R, bool kMean>
struct ComplexSum {
  using T = complex_t<R>;
  using State = c128_t;
  static State init(const Call&) { return State(0, 0); }
  static void one(State& s, T x, int64_t) {
    s.re += x.re;
    s.im += x.im;
  }
  static void block(State& s, const T* x, int64_t n, int64_t) {
    for (int64_t i = 0; i < n; ++i) one(s, x[i], 0);
  }
  static void merge(State& s, const State& o) { s += o; }
  static void store(const State& s, const Call& call, int, const Operand& o, int64_t at) {
    const double f = kMean ? call.reals[0] : 1;
    put(o, at, State(s.re * f, s.im * f));
  }
};

template <class R>
struct ComplexProduct {
  using T = complex_t<R>;
  using State = c128_t;
  static State init(const Call&) { return State(1, 0); }
  static void one(State& s, T x, int64_t) { s = s * State(x.re, x.im); }
  static void block(State& s, const T* x, int64_t n, int64_t) {
    for (int64_t i = 0; i < n; ++i) one(s, x[i], 0);
  }
  static void merge(State& s, const State& o) { s = s * o; }
  static void store(const State& s, const Call&, int, const Operand& o, int64_t at) {
    put(o, at, s);
  }
};

struct Modulus {
  template <class Z>
  static double of(Z z) {
    return __builtin_hypot(static_cast<double>(z.re), static_cast<double>(z.im));
  }
};

#define TRN_REDUCE(name, reducer, ...)                                                  \
  TRN_REGISTER(name, DType::c64, (reduce<reducer<float __VA_OPT__(, ) __VA_ARGS__>>));  \
  TRN_REGISTER(name, DType::c128, (reduce<reducer<double __VA_OPT__(, ) __VA_ARGS__>>));
#define TRN_NORM(name, kind)                                                  \
  TRN_REGISTER(name, DType::c64, (reduce<Norm<c64_t, kind, Modulus>>));       \
  TRN_REGISTER(name, DType::c128, (reduce<Norm<c128_t, kind, Modulus>>));

TRN_REDUCE("sum", ComplexSum, false)
TRN_REDUCE("mean", ComplexSum, true)
TRN_REDUCE("prod", ComplexProduct)
TRN_REGISTER("all", DType::c64, (reduce<Logic<c64_t, true>>));
TRN_REGISTER("all", DType::c128, (reduce<Logic<c128_t, true>>));
TRN_REGISTER("any", DType::c64, (reduce<Logic<c64_t, false>>));
TRN_REGISTER("any", DType::c128, (reduce<Logic<c128_t, false>>));
TRN_NORM("norm_0", NormKind::zero)
TRN_NORM("norm_1", NormKind::one)
TRN_NORM("norm_2", NormKind::two)
TRN_NORM("norm_inf", NormKind::largest)
TRN_NORM("norm_minus_inf", NormKind::smallest)
TRN_NORM("norm_p", NormKind::other)

}  // namespace
}  // namespace trn
