// Reductions of complex numbers.
#include "complex.h"
#include "reducers.h"

namespace trn {
namespace {

template <class R, bool kMean>
struct ComplexSumMeasure {
  using T = complex_t<R>;
  using Part = c128_t;
  using State = c128_t;
  template <class A>
  static State start() {
    return State(0, 0);
  }
  static State term(T x) { return State(x.re, x.im); }
  static State join(State a, State b) { return a + b; }
  template <int k>
  static State value(State s, const Call& call) {
    const double f = kMean ? call.reals[0] : 1;
    return State(s.re * f, s.im * f);
  }
};
template <class R, bool kMean>
using ComplexSum = Joined<ComplexSumMeasure<R, kMean>>;

template <class R>
struct ComplexProductMeasure {
  using T = complex_t<R>;
  using Part = c128_t;
  using State = c128_t;
  template <class A>
  static State start() {
    return State(1, 0);
  }
  static State term(T x) { return State(x.re, x.im); }
  static State join(State a, State b) { return a * b; }
  template <int k>
  static State value(State s, const Call&) {
    return s;
  }
};
template <class R>
using ComplexProduct = Joined<ComplexProductMeasure<R>>;

struct Modulus {
  template <class Z>
  static double of(Z z) {
    return __builtin_hypot(static_cast<double>(z.re), static_cast<double>(z.im));
  }
};

#define TRN_REDUCE(name, reducer, ...)                                                 \
  TRN_REGISTER(name, DType::c64, (reduce<reducer<float __VA_OPT__(, ) __VA_ARGS__>>)); \
  TRN_REGISTER(name, DType::c128, (reduce<reducer<double __VA_OPT__(, ) __VA_ARGS__>>));
#define TRN_NORM(name, kind)                                            \
  TRN_REGISTER(name, DType::c64, (reduce<Norm<c64_t, kind, Modulus>>)); \
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
