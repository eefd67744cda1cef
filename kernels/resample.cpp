// Resizing a dimension of a tensor by weighted sums of neighbours, and the gradient of that.
//
// Every mode but nearest is separable, and linear in its input: along one dimension, output i is
// the sum of weight[i][t] * input[first[i] + t] for t < count[i]. A table kernel computes the
// spans (first, count) and weights of a mode once; the pass over the data knows no modes. The
// gradient is the transposed sum: first and first + count never fall as i grows, so the outputs
// that a source element feeds are a range, found by bisection.
#include "kernel.h"
#include "math.h"

namespace trn {
namespace {

enum Mode : int64_t { kNearest, kNearestExact, kLinear, kCubic, kLinearAA, kCubicAA, kLanczosAA };

struct Span {
  int64_t first, count;
};

TRN_INLINE int64_t at_most(int64_t x, int64_t limit) { return x < limit ? x : limit; }
TRN_INLINE int64_t at_least(int64_t x, int64_t limit) { return x > limit ? x : limit; }

// Keys' cubic of parameter a, at distance x >= 0.
template <class T>
TRN_INLINE T cubic(T x, T a) {
  if (x < T(1)) return ((a + T(2)) * x - (a + T(3))) * x * x + T(1);
  return x < T(2) ? (((x - T(5)) * x + T(8)) * x - T(4)) * a : T(0);
}
template <class T>
TRN_INLINE T sinc(T x) {
  const T y = x * T(3.14159265358979323846);
  return y == T(0) ? T(1) : static_cast<T>(m_sin(y)) / y;
}
template <class T>
TRN_INLINE T smooth(int64_t mode, T x) {
  x = x < T(0) ? -x : x;
  if (mode == kLinearAA) return x < T(1) ? T(1) - x : T(0);
  if (mode == kCubicAA) return cubic(x, T(-0.5));
  return x < T(3) ? sinc(x) * sinc(x / T(3)) : T(0);
}

struct Axis {
  int64_t mode, in, out;
  bool align;
};

template <class T>
TRN_INLINE Span nearest_span(const Axis& a, T scale, int64_t i, T* weight) {
  weight[0] = 1;
  // The ratio is a float whatever the tensor's type, and two cases are exact, as in PyTorch.
  const float s = static_cast<float>(scale);
  if (a.mode == kNearestExact)
    return {at_most(static_cast<int64_t>(m_floor(static_cast<float>((i + 0.5) * s))), a.in - 1), 1};
  if (a.in == a.out) return {i, 1};
  if (a.out == 2 * a.in) return {i >> 1, 1};
  return {at_most(static_cast<int64_t>(m_floor(static_cast<float>(i) * s)), a.in - 1), 1};
}

template <class T>
TRN_INLINE Span linear_span(const Axis& a, T scale, int64_t i, T* weight) {
  T x = a.align ? scale * static_cast<T>(i) : scale * (static_cast<T>(i) + T(0.5)) - T(0.5);
  x = x < T(0) ? T(0) : x;
  const int64_t first = at_most(static_cast<int64_t>(x), a.in - 1);
  T part = x - static_cast<T>(first);
  part = part > T(1) ? T(1) : part;
  if (first + 1 == a.in) {
    weight[0] = 1;
    return {first, 1};
  }
  weight[0] = T(1) - part;
  weight[1] = part;
  return {first, 2};
}

// Taps that fall off an end count for the element at that end.
template <class T>
TRN_INLINE Span cubic_span(const Axis& a, T scale, int64_t i, T* weight) {
  const T x = a.align ? scale * static_cast<T>(i) : scale * (static_cast<T>(i) + T(0.5)) - T(0.5);
  const int64_t base = at_most(static_cast<int64_t>(m_floor(x)), a.in - 1);
  T t = x - static_cast<T>(base);
  t = t < T(0) ? T(0) : t > T(1) ? T(1) : t;
  const T distance[4] = {t + T(1), t, T(1) - t, T(2) - t};
  const int64_t first = at_most(at_least(base - 1, 0), a.in - 1);
  const int64_t last = at_least(at_most(base + 2, a.in - 1), 0);
  for (int k = 0; k < 4; ++k) weight[k] = 0;
  for (int k = 0; k < 4; ++k)
    weight[at_least(at_most(base - 1 + k, last), first) - first] += cubic(distance[k], T(-0.75));
  return {first, last - first + 1};
}

template <class T>
TRN_INLINE Span smooth_span(const Axis& a, T scale, int64_t i, T* weight, int64_t taps) {
  const T reach = a.mode == kLinearAA ? T(1) : a.mode == kCubicAA ? T(2) : T(3);
  const T support = scale >= T(1) ? reach * scale : reach;
  const T inverse = scale >= T(1) ? T(1) / scale : T(1);
  const T center = scale * (static_cast<T>(i) + T(0.5));
  const int64_t first = at_least(static_cast<int64_t>(center - support + T(0.5)), 0);
  const int64_t end = at_most(static_cast<int64_t>(center + support + T(0.5)), a.in);
  const int64_t count = at_least(at_most(end - first, taps), 0);
  T total = 0;
  for (int64_t k = 0; k < count; ++k) {
    weight[k] = smooth(a.mode, (static_cast<T>(k + first) - center + T(0.5)) * inverse);
    total += weight[k];
  }
  if (total != T(0))
    for (int64_t k = 0; k < count; ++k) weight[k] /= total;
  return {first, count};
}

// operands: spans [n, 2] i64, weights [n, taps]. ints: mode, input size, align corners; reals:
// input steps per output step. Items are outputs.
template <class T>
void resample_taps(const Call& call, const Range& range) {
  const int64_t taps = call.operand[1].sizes[1];
  const Axis a{call.ints[0], call.ints[1], call.operand[0].sizes[0], call.ints[2] != 0};
  const T scale = static_cast<T>(call.reals[0]);
  for (int64_t i = range.begin; i < range.end; ++i) {
    T* weight = call.operand[1].as<T>() + i * taps;
    Span s;
    if (a.mode <= kNearestExact) s = nearest_span(a, scale, i, weight);
    else if (a.mode == kLinear) s = linear_span(a, scale, i, weight);
    else if (a.mode == kCubic) s = cubic_span(a, scale, i, weight);
    else s = smooth_span(a, scale, i, weight, taps);
    call.operand[0].as<Span>()[i] = s;
  }
}

// operands: ranges [sources, 2] i64; spans [n, 2]. A range is the outputs whose span holds the
// source, as (first, count). Items are sources.
void resample_reverse(const Call& call, const Range& range) {
  const Span* spans = call.operand[1].as<Span>();
  const int64_t n = call.operand[1].sizes[0];
  const auto bisect = [&](auto holds) {  // the first output that `holds`, which stays true
    int64_t low = 0, high = n;
    while (low < high) {
      const int64_t mid = (low + high) / 2;
      if (holds(spans[mid])) high = mid;
      else low = mid + 1;
    }
    return low;
  };
  for (int64_t s = range.begin; s < range.end; ++s) {
    const int64_t first = bisect([&](Span o) { return o.first + o.count > s; });
    const int64_t end = bisect([&](Span o) { return o.first > s; });
    call.operand[0].as<Span>()[s] = {first, at_least(end - first, 0)};
  }
}

// out[j] = sum over t < count of weight(t) * in[t * step + j], for j < n.
template <class T, class W>
TRN_INLINE void weighted_rows(T* __restrict out, const T* __restrict in, int64_t step,
                              int64_t count, int64_t n, W weight) {
  if (count == 2) {
    const T a = weight(0), b = weight(1);
    const T* second = in + step;
    for (int64_t j = 0; j < n; ++j) out[j] = a * in[j] + b * second[j];
    return;
  }
  constexpr int64_t kChunk = 1024;  // stays in the first-level cache while the taps are added
  for (int64_t from = 0; from < n; from += kChunk) {
    const int64_t to = at_most(from + kChunk, n);
    for (int64_t j = from; j < to; ++j) out[j] = count ? weight(0) * in[j] : T(0);
    for (int64_t t = 1; t < count; ++t) {
      const T a = weight(t);
      const T* row = in + t * step;
      for (int64_t j = from; j < to; ++j) out[j] += a * row[j];
    }
  }
}

// The same for one column; two and four taps are what most modes have.
template <class T, class W>
TRN_INLINE T weighted_sum(const T* in, int64_t count, W weight) {
  if (count == 2) return weight(0) * in[0] + weight(1) * in[1];
  if (count == 4)
    return weight(0) * in[0] + weight(1) * in[1] + weight(2) * in[2] + weight(3) * in[3];
  T sum = 0;
  for (int64_t t = 0; t < count; ++t) sum += weight(t) * in[t];
  return sum;
}

// Calls f(item, item / n, item % n) for a range of items.
template <class F>
TRN_INLINE void each_row(const Range& range, int64_t n, F f) {
  int64_t outer = range.begin / n, i = range.begin % n;
  for (int64_t item = range.begin; item < range.end; ++item) {
    f(item, outer, i);
    if (++i == n) {
      i = 0;
      ++outer;
    }
  }
}

// operands: out [outer, n, inner], in [outer, sources, inner], spans [n, 2], weights [n, taps];
// all dense. Items are rows of `inner` elements.
template <class T>
void resample(const Call& call, const Range& range) {
  const Operand &out = call.operand[0], &in = call.operand[1], &weights = call.operand[3];
  const Span* spans = call.operand[2].as<Span>();
  const int64_t n = out.sizes[1], inner = out.sizes[2], taps = weights.sizes[1];
  each_row(range, n, [&](int64_t item, int64_t outer, int64_t i) {
    const Span s = spans[i];
    const T* from = in.as<T>() + (outer * in.sizes[1] + s.first) * inner;
    const T* weight = weights.as<T>() + i * taps;
    if (inner == 1) {
      out.as<T>()[item] = weighted_sum(from, s.count, [&](int64_t t) { return weight[t]; });
    } else {
      weighted_rows(out.as<T>() + item * inner, from, inner, s.count, inner,
                    [&](int64_t t) { return weight[t]; });
    }
  });
}

// operands: grad_in [outer, sources, inner], grad [outer, n, inner], spans and weights of the
// outputs, ranges [sources, 2]; all dense. Items are rows of `inner` elements.
template <class T>
void resample_backward(const Call& call, const Range& range) {
  const Operand &out = call.operand[0], &grad = call.operand[1], &weights = call.operand[3];
  const Span *spans = call.operand[2].as<Span>(), *ranges = call.operand[4].as<Span>();
  const int64_t sources = out.sizes[1], inner = out.sizes[2], taps = weights.sizes[1];
  each_row(range, sources, [&](int64_t item, int64_t outer, int64_t s) {
    const Span r = ranges[s];
    const T* from = grad.as<T>() + (outer * grad.sizes[1] + r.first) * inner;
    const auto weight = [&](int64_t t) {
      const int64_t i = r.first + t;
      return weights.as<T>()[i * taps + s - spans[i].first];
    };
    if (inner == 1) {
      out.as<T>()[item] = weighted_sum(from, r.count, weight);
    } else {
      weighted_rows(out.as<T>() + item * inner, from, inner, r.count, inner, weight);
    }
  });
}

// operands: out [outer, d, h, w, inner], in of the same order, both dense; spans of d, h and w.
// Items are rows (outer, d, h).
template <class U>
void resample_nearest(const Call& call, const Range& range) {
  const Operand &out = call.operand[0], &in = call.operand[1];
  const Span *sd = call.operand[2].as<Span>(), *sh = call.operand[3].as<Span>(),
             *sw = call.operand[4].as<Span>();
  const int64_t height = out.sizes[2], width = out.sizes[3], inner = out.sizes[4];
  for (int64_t item = range.begin; item < range.end; ++item) {
    const int64_t h = item % height, d = item / height % out.sizes[1];
    const int64_t row =
        (item / height / out.sizes[1] * in.sizes[1] + sd[d].first) * in.sizes[2] + sh[h].first;
    const U* from = in.as<U>() + row * in.sizes[3] * inner;
    U* to = out.as<U>() + item * width * inner;
    if (inner == 1) {
      for (int64_t w = 0; w < width; ++w) to[w] = from[sw[w].first];
    } else {
      for (int64_t w = 0; w < width; ++w)
        __builtin_memcpy(to + w * inner, from + sw[w].first * inner, inner * sizeof(U));
    }
  }
}

TRN_REGISTER_REALS(resample_taps);
TRN_REGISTER_REALS(resample);
TRN_REGISTER_REALS(resample_backward);
TRN_REGISTER("resample_reverse", DType::i64, resample_reverse);
TRN_REGISTER("resample_nearest", DType::u8, resample_nearest<uint8_t>);
TRN_REGISTER("resample_nearest", DType::u16, resample_nearest<uint16_t>);
TRN_REGISTER("resample_nearest", DType::u32, resample_nearest<uint32_t>);
TRN_REGISTER("resample_nearest", DType::u64, resample_nearest<uint64_t>);

}  // namespace
}  // namespace trn
