// Random numbers that take an unknown number of draws: gamma, Poisson, binomial.
//
// operands: out, one or two inputs of the same shape, any strides. ints: seed, offset. Element i
// draws from Philox at position i, offsets from `offset` on, so that it does not matter who
// computes it. Items are elements. A parameter out of range is a fault.
#include "blocks.h"
#include "philox.h"
#include "walk.h"

namespace trn {
namespace {

using TRN_ISA_NAMESPACE::convert_run;

struct Stream {
  uint64_t seed, offset, position;
  TRN_INLINE Philox4 next() { return philox(seed, offset++, position); }
};
// Two independent numbers in (0, 1).
struct Pair {
  double a, b;
};
TRN_INLINE Pair draw(Stream& s) {
  const Philox4 w = s.next();
  return {uniform_double(w.v[0], w.v[1]) + 0x1p-54, uniform_double(w.v[2], w.v[3]) + 0x1p-54};
}
TRN_INLINE double draw_normal(Stream& s) {
  const Pair u = draw(s);
  return __builtin_sqrt(-2 * __builtin_log(u.a)) * __builtin_cos(6.28318530717958647693 * u.b);
}

// out[i] = f(stream of i, inputs at i); f gives -1 for parameters out of range.
template <class F>
void fill_from(const Call& call, const Range& range, F f) {
  const Operand& out = call.operand[0];
  double* values = reinterpret_cast<double*>(range.scratch);
  double* in[2] = {values + kBlock, values + 2 * kBlock};
  Position p(out, range.begin);
  for (int64_t i = range.begin; i < range.end;) {
    int64_t n = p.row_left() < range.end - i ? p.row_left() : range.end - i;
    n = n < kBlock ? n : kBlock;
    for (int k = 1; k < call.noperands; ++k) {
      const Operand& o = call.operand[k];
      if (o.data) convert_run(in[k - 1], DType::f64, 1, p.address(o), o.dtype, p.step(o), n);
      else
        for (int64_t j = 0; j < n; ++j) in[k - 1][j] = o.value.r[0];
    }
    for (int64_t j = 0; j < n; ++j) {
      Stream s{static_cast<uint64_t>(call.ints[0]), static_cast<uint64_t>(call.ints[1]),
               static_cast<uint64_t>(i + j)};
      values[j] = f(s, in[0][j], in[1][j]);
      if (values[j] < 0) range.fault->report(FaultKind::assertion);
    }
    convert_run(p.address(out), out.dtype, p.step(out), values, DType::f64, 1, n);
    p.advance(n);
    i += n;
  }
}

// gamma(shape, 1) by squeezing a cubed normal (Marsaglia and Tsang, "A simple method for generating
// gamma variables", 2000); a shape below 1 is one above, made smaller. reals[0]: the least result.
void standard_gamma(const Call& call, const Range& range) {
  const double least = call.reals[0];
  fill_from(call, range, [=](Stream& s, double shape, double) {
    if (!(shape >= 0)) return shape != shape ? shape : -1.0;
    const double boost =
        shape < 1 ? __builtin_exp(__builtin_log(draw(s).a) / (shape > 0 ? shape : 1e-300)) : 1;
    const double d = (shape < 1 ? shape + 1 : shape) - 1.0 / 3, c = 1 / __builtin_sqrt(9 * d);
    for (;;) {
      const double x = draw_normal(s), y = 1 + c * x, u = draw(s).a;
      if (y <= 0) continue;
      const double v = y * y * y;
      if (__builtin_log(u) < 0.5 * x * x + d * (1 - v + __builtin_log(v))) {
        const double value = boost * d * v;
        return value < least ? least : value;
      }
    }
  });
}

// A small rate by summing probabilities, a large one by transformed rejection (Hoermann, "The
// transformed rejection method for generating Poisson random variables", 1993).
double poisson_of(Stream& s, double rate) {
  if (!(rate >= 0)) return rate != rate ? rate : -1;
  if (rate < 10) {
    double u = draw(s).a, p = __builtin_exp(-rate), k = 0;
    for (; u > p && k < 1000; ++k) {
      u -= p;
      p *= rate / (k + 1);
    }
    return k;
  }
  const double log_rate = __builtin_log(rate), b = 0.931 + 2.53 * __builtin_sqrt(rate);
  const double a = -0.059 + 0.02483 * b, inverse_alpha = 1.1239 + 1.1328 / (b - 3.4);
  const double v_r = 0.9277 - 3.6224 / (b - 2);
  for (;;) {
    const Pair r = draw(s);
    const double u = r.a - 0.5, v = r.b, us = 0.5 - __builtin_fabs(u);
    const double k = __builtin_floor((2 * a / us + b) * u + rate + 0.43);
    if (us >= 0.07 && v <= v_r) return k;
    if (k < 0 || (us < 0.013 && v > us)) continue;
    if (__builtin_log(v * inverse_alpha / (a / (us * us) + b)) <=
        k * log_rate - rate - __builtin_lgamma(k + 1))
      return k;
  }
}
void poisson(const Call& call, const Range& range) {
  fill_from(call, range, [](Stream& s, double rate, double) { return poisson_of(s, rate); });
}

// What Stirling's formula lacks of log k!.
TRN_INLINE double stirling_rest(double k) {
  return __builtin_lgamma(k + 1) -
         ((k + 0.5) * __builtin_log(k + 1) - (k + 1) + 0.91893853320467274178);
}
// For p <= 1/2 (Hoermann, "The generation of binomial random variates", 1993).
double binomial_of(Stream& s, double n, double p) {
  if (n * p < 10) {  // sums probabilities, as above
    const double q = 1 - p;
    double u = draw(s).a, f = __builtin_exp(n * __builtin_log1p(-p)), k = 0;
    for (; u > f && k < n; ++k) {
      u -= f;
      f *= (n - k) / (k + 1) * (p / q);
    }
    return k;
  }
  const double sigma = __builtin_sqrt(n * p * (1 - p)), b = 1.15 + 2.53 * sigma;
  const double a = -0.0873 + 0.0248 * b + 0.01 * p, c = n * p + 0.5, v_r = 0.92 - 4.2 / b;
  const double r = p / (1 - p), alpha = (2.83 + 5.1 / b) * sigma;
  const double m = __builtin_floor((n + 1) * p);
  for (;;) {
    const Pair d = draw(s);
    const double u = d.a - 0.5, us = 0.5 - __builtin_fabs(u);
    const double k = __builtin_floor((2 * a / us + b) * u + c);
    if (us >= 0.07 && d.b <= v_r) return k;
    if (k < 0 || k > n) continue;
    const double v = __builtin_log(d.b * alpha / (a / (us * us) + b));
    const double bound = (m + 0.5) * __builtin_log((m + 1) / (r * (n - m + 1))) +
                         (n + 1) * __builtin_log((n - m + 1) / (n - k + 1)) +
                         (k + 0.5) * __builtin_log(r * (n - k + 1) / (k + 1)) + stirling_rest(m) +
                         stirling_rest(n - m) - stirling_rest(k) - stirling_rest(n - k);
    if (v <= bound) return k;
  }
}
void binomial(const Call& call, const Range& range) {
  fill_from(call, range, [](Stream& s, double n, double p) {
    if (n != n || p != p) return __builtin_nan("");
    if (!(n >= 0 && p >= 0 && p <= 1)) return -1.0;
    if (n == 0 || p == 0) return 0.0;
    return p <= 0.5 ? binomial_of(s, n, p) : n - (p == 1 ? 0 : binomial_of(s, n, 1 - p));
  });
}

TRN_REGISTER("standard_gamma", DType::f64, standard_gamma);
TRN_REGISTER("poisson", DType::f64, poisson);
TRN_REGISTER("binomial", DType::f64, binomial);

}  // namespace
}  // namespace trn
