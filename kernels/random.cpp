// Random fills: element i of a launch takes its words from Philox at position i, so any range of
// it can be computed anywhere.
//
// operand 0: out, any strides; operand 1 where named: an input of the same shape. ints[0]: seed,
// ints[1]: offset; items are elements.
#include "blocks.h"
#include "math.h"
#include "philox.h"
#include "walk.h"

namespace trn {
namespace {

using TRN_ISA_NAMESPACE::convert_run;

// Fills runs of the output with f(words of position i), of which f reads the first `planes`.
template <class T, class F>
TRN_INLINE void fill(const Call& call, const Range& range, int planes, F f) {
  const Operand& out = call.operand[0];
  Draws draws(static_cast<uint64_t>(call.ints[0]), static_cast<uint64_t>(call.ints[1]), planes);
  T* buffer = reinterpret_cast<T*>(range.scratch);
  Position p(out, range.begin);
  for (int64_t i = range.begin; i < range.end;) {
    int64_t n = draws.cover(i, range.end - i);
    n = p.row_left() < n ? p.row_left() : n;
    const int64_t first = draws.at(i);
    for (int64_t k = 0; k < n; ++k) buffer[k] = f(draws[first + k], k, p);
    convert_run(p.address(out), out.dtype, p.step(out), buffer, DTypeOf<T>::value, 1, n);
    p.advance(n);
    i += n;
  }
}

// Uniform in (0, 1], for logarithms; in [0, 1).
TRN_INLINE double uniform(const Philox4& w) { return uniform_double(w.v[0], w.v[1]); }
TRN_INLINE void positive(const Philox4& w, double& u) { u = 1.0 - uniform(w); }
TRN_INLINE void positive(const Philox4& w, float& u) { u = 1.f - uniform_float(w.v[0]); }

// reals: from, to. The upper end is left out even after rounding to a short type.
void uniform_f32(const Call& call, const Range& range) {
  const float from = static_cast<float>(call.reals[0]), to = static_cast<float>(call.reals[1]);
  // Halves keep fewer bits: drawing no more than they hold keeps the result below `to`.
  const DType t = call.operand[0].dtype;
  const int keep = t == DType::bf16 ? 8 : t == DType::f16 ? 11 : 24;
  const float unit = __builtin_ldexpf(1.f, -keep);
  fill<float>(call, range, 1, [=](const Philox4& w, int64_t, const Position&) {
    const float u = static_cast<float>(w.v[0] >> (32 - keep)) * unit;
    const float x = u * (to - from) + from;
    return x < to || from == to ? x : from;
  });
}
void uniform_f64(const Call& call, const Range& range) {
  const double from = call.reals[0], to = call.reals[1];
  fill<double>(call, range, 2, [=](const Philox4& w, int64_t, const Position&) {
    const double x = uniform(w) * (to - from) + from;
    return x < to || from == to ? x : from;
  });
}

// Box-Muller: one normal an element, from two uniforms. reals: mean, deviation.
TRN_INLINE float normal_radius(uint32_t word) {
  const float u = static_cast<float>(word) * 0x1p-32f + 0x1p-33f;  // in (0, 1]
  return __builtin_sqrtf(-2.f * fast_log(u));
}
template <class A>
TRN_INLINE A normal_of(const Philox4& w);
template <>
TRN_INLINE float normal_of<float>(const Philox4& w) {
  return normal_radius(w.v[0]) * of_turns(uniform_float(w.v[1])).cosine;
}
template <>
TRN_INLINE double normal_of<double>(const Philox4& w) {
  const double u = 1.0 - uniform(w), v = uniform_double(w.v[2], w.v[3]);
  return __builtin_sqrt(-2 * __builtin_log(u)) * __builtin_cos(6.283185307179586 * v);
}

// In float a pair of words gives two: the first half of a tile's words are radii, the second
// angles.
void normal_f32(const Call& call, const Range& range) {
  const Operand& out = call.operand[0];
  const float mean = static_cast<float>(call.reals[0]),
              deviation = static_cast<float>(call.reals[1]);
  Draws draws(static_cast<uint64_t>(call.ints[0]), static_cast<uint64_t>(call.ints[1]), 1);
  float* normals = reinterpret_cast<float*>(range.scratch);
  Position p(out, range.begin);
  int64_t window = -1;
  for (int64_t i = range.begin, n; i < range.end; i += n) {
    n = draws.cover(i, range.end - i);
    n = p.row_left() < n ? p.row_left() : n;
    if (window != draws.from)
      for (int64_t t = 0; t < draws.until - draws.from; t += kTileWords)
        for (int64_t k = t; k < t + kTileWords / 2; ++k) {
          const float radius = normal_radius(draws.word[0][k]) * deviation;
          const Turned angle = of_turns(uniform_float(draws.word[0][k + kTileWords / 2]));
          normals[k] = radius * angle.cosine + mean;
          normals[k + kTileWords / 2] = radius * angle.sine + mean;
        }
    window = draws.from;
    convert_run(p.address(out), out.dtype, p.step(out), normals + draws.at(i), DType::f32, 1, n);
    p.advance(n);
  }
}
void normal_f64(const Call& call, const Range& range) {
  const double mean = call.reals[0], deviation = call.reals[1];
  fill<double>(call, range, 4, [=](const Philox4& w, int64_t, const Position&) {
    return normal_of<double>(w) * deviation + mean;
  });
}

// Distributions by inversion of a uniform u in (0, 1], in the type of the result. reals: their
// parameters p and q. Planes of words that float and double need.
#define TRN_INVERSION(name, floats, doubles, expression)                          \
  template <class A>                                                              \
  void name(const Call& call, const Range& range) {                               \
    const A p = static_cast<A>(call.reals[0]), q = static_cast<A>(call.reals[1]); \
    (void)q;                                                                      \
    fill<A>(call, range, sizeof(A) == 4 ? floats : doubles,                       \
            [=](const Philox4& w, int64_t, const Position&) {                     \
              A u;                                                                \
              positive(w, u);                                                     \
              return static_cast<A>(expression);                                  \
            });                                                                   \
  }                                                                               \
  TRN_REGISTER(#name, DType::f32, name<float>);                                   \
  TRN_REGISTER(#name, DType::f64, name<double>)
TRN_INVERSION(exponential, 1, 2, -m_log(u) / p);
TRN_INVERSION(cauchy, 1, 2, p + q * m_tan(A(3.14159265358979323846) * (u - A(0.5))));
TRN_INVERSION(geometric, 1, 2, m_ceil(u == 1 ? A(1) : m_log(u) / m_log1p(-p)));
TRN_INVERSION(log_normal, 2, 4, ((void)u, m_exp(p + q * normal_of<A>(w))));

// ints[2]: range (0: all 64 bits), ints[3]: base.
void random_integers(const Call& call, const Range& range) {
  const uint64_t span = static_cast<uint64_t>(call.ints[2]);
  const int64_t base = call.ints[3];
  // A word times the range, over 2^32, is below the range.
  if (span && span >> 32 == 0)
    return fill<int64_t>(call, range, 1, [=](const Philox4& w, int64_t, const Position&) {
      return static_cast<int64_t>((w.v[0] * span >> 32) + static_cast<uint64_t>(base));
    });
  fill<int64_t>(call, range, 2, [=](const Philox4& w, int64_t, const Position&) {
    const uint64_t bits = static_cast<uint64_t>(w.v[0]) << 32 | w.v[1];
    return static_cast<int64_t>((span ? bits % span : bits) + static_cast<uint64_t>(base));
  });
}

// 1 with probability reals[0], or that of operand 1's element; a probability outside [0, 1] is
// a fault.
void bernoulli(const Call& call, const Range& range) {
  const Operand& probability = call.operand[1];
  const bool each = call.noperands > 1 && !probability.absent();
  const double p = call.reals[0];
  if (!each)
    return fill<double>(call, range, 2, [=](const Philox4& w, int64_t, const Position&) {
      return uniform(w) < p ? 1.0 : 0.0;
    });
  fill<double>(call, range, 2, [&](const Philox4& w, int64_t k, const Position& at) {
    double limit;
    convert_run(&limit, DType::f64, 1,
                at.address(probability) + k * at.step(probability) * dtype_size(probability.dtype),
                probability.dtype, 1, 1);
    if (!(limit >= 0 && limit <= 1)) range.fault->report(FaultKind::assertion);
    return uniform(w) < limit ? 1.0 : 0.0;
  });
}

// operands: out, mask (bool), in: dense. Keeps an element with probability reals[0], scaled.
template <class A>
void dropout(const Call& call, const Range& range) {
  const Operand &out = call.operand[0], &mask = call.operand[1], &in = call.operand[2];
  const uint64_t seed = static_cast<uint64_t>(call.ints[0]),
                 offset = static_cast<uint64_t>(call.ints[1]);
  const double keep = call.reals[0];
  const A scale = keep > 0 ? static_cast<A>(1 / keep) : A(0);
  A* x = reinterpret_cast<A*>(range.scratch);
  bool* kept = reinterpret_cast<bool*>(x + kBlock);
  Draws draws(seed, offset, 1);
  for (int64_t i = range.begin, n; i < range.end; i += n) {
    n = draws.cover(i, range.end - i);
    convert_run(x, DTypeOf<A>::value, 1, in.as<char>() + i * dtype_size(in.dtype), in.dtype, 1, n);
    const float limit = static_cast<float>(keep);
    const uint32_t* word = draws.word[0] + draws.at(i);
    for (int64_t k = 0; k < n; ++k) kept[k] = uniform_float(word[k]) < limit;
    for (int64_t k = 0; k < n; ++k) x[k] = uniform_float(word[k]) < limit ? x[k] * scale : A(0);
    convert_run(out.as<char>() + i * dtype_size(out.dtype), out.dtype, 1, x, DTypeOf<A>::value, 1,
                n);
    __builtin_memcpy(mask.as<bool>() + i, kept, n);
  }
}

TRN_REGISTER("uniform", DType::f32, uniform_f32);
TRN_REGISTER("uniform", DType::f64, uniform_f64);
TRN_REGISTER("normal", DType::f32, normal_f32);
TRN_REGISTER("normal", DType::f64, normal_f64);
TRN_REGISTER("random_integers", DType::i64, random_integers);
TRN_REGISTER("bernoulli", DType::f64, bernoulli);
TRN_REGISTER_REALS(dropout);

}  // namespace
}  // namespace trn
