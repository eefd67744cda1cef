// Group normalisation: a row is a group's channels of one sample, each with its weight and bias.
//
// Tensors are [samples, channels, inner], dense. Items are groups; statistics are [samples,
// groups].
#include "rows.h"
#include "wide_planes.h"

namespace trn {
namespace {

struct Groups {
  int64_t channels, inner, groups, each;  // channels of a group
  Groups(const Operand& in, int64_t groups)
      : channels(in.sizes[1]), inner(in.sizes[2]), groups(groups), each(channels / groups) {}
  // First of the group's channels, counted over all samples.
  TRN_INLINE int64_t first(int64_t item) const {
    return item / groups * channels + item % groups * each;
  }
};

TRN_INLINE double coefficient(const Operand& o, int64_t channel, double otherwise) {
  return o.absent() ? otherwise : get(o, channel * o.strides[0]);
}

// group_norm where in and out are of a type S that Wides are loaded from.
template <class S>
void group_norm_wide(const Call& call, const Range& range) {
  const Operand& in = call.operand[3];
  const Groups g(in, call.ints[0]);
  const int64_t length = g.each * g.inner;
  for (int64_t item = range.begin; item < range.end; ++item) {
    const int64_t first = g.first(item);
    const S* x = in.as<S>() + first * g.inner;
    S* y = call.operand[0].as<S>() + first * g.inner;
    TwoSums sums;
    const float pivot = pivot_of(x, length);
    add_moments(x, x + kBlock, length, pivot, sums);
    const Spread spread = spread_of(sums, static_cast<double>(length), pivot);
    const double rstd = 1 / __builtin_sqrt(spread.variance + call.reals[0]);
    set(call.operand[1], item, spread.mean);
    set(call.operand[2], item, rstd);
    for (int64_t c = 0; c < g.each; ++c) {
      const int64_t channel = (first + c) % g.channels, at = c * g.inner;
      const double scale = rstd * coefficient(call.operand[4], channel, 1);
      const double shift = coefficient(call.operand[5], channel, 0) - spread.mean * scale;
      scale_plane(x + at, y + at, g.inner, scale, shift);
    }
  }
}

// group_norm_backward where grad, in and grad_input are of a type S that Wides are loaded from.
template <class S>
void group_norm_backward_wide(const Call& call, const Range& range) {
  const Operand &out = call.operand[0], &in = call.operand[4];
  const Groups g(in, call.ints[0]);
  const double count = static_cast<double>(g.each * g.inner);
  for (int64_t item = range.begin; item < range.end; ++item) {
    const int64_t first = g.first(item);
    const S *grad = call.operand[3].as<S>() + first * g.inner, *x = in.as<S>() + first * g.inner;
    const double mean = get(call.operand[5], item), rstd = get(call.operand[6], item);
    double mean_g = 0, mean_gx = 0;
    for (int64_t c = 0; c < g.each; ++c) {
      const S *from = grad + c * g.inner, *other = x + c * g.inner;
      TwoSums sums;
      add_products(from, other, from + kBlock, other + kBlock, g.inner, static_cast<float>(mean),
                   sums);
      const double w = coefficient(call.operand[7], (first + c) % g.channels, 1);
      call.operand[2].as<float>()[first + c] = static_cast<float>(sums.first);
      call.operand[1].as<float>()[first + c] = static_cast<float>(sums.second * rstd);
      mean_g += w * sums.first / count;
      mean_gx += w * sums.second * rstd / count;
    }
    if (out.absent()) continue;
    const double b = -rstd * rstd * mean_gx, shift = -b * mean - rstd * mean_g;
    S* y = out.as<S>() + first * g.inner;
    for (int64_t c = 0; c < g.each; ++c) {
      const int64_t at = c * g.inner;
      const double w = coefficient(call.operand[7], (first + c) % g.channels, 1);
      mix_planes(grad + at, x + at, y + at, g.inner, rstd * w, b, shift);
    }
  }
}

// operands: out, mean, rstd; in, weight [channels] or absent, bias or absent. ints[0]: groups.
// reals[0]: eps.
template <class A>
void group_norm(const Call& call, const Range& range) {
  const Operand &out = call.operand[0], &in = call.operand[3];
  if constexpr (__is_same(A, float))
    if (with_wide_type({&out, &in}, [&]<class S>(S) { group_norm_wide<S>(call, range); })) return;
  const Groups g(in, call.ints[0]);
  const int64_t length = g.each * g.inner;
  A *buffer = reinterpret_cast<A*>(range.scratch), *result = buffer + kBlock;
  for (int64_t item = range.begin; item < range.end; ++item) {
    const int64_t first = g.first(item), at = first * g.inner;
    double mean = 0, squares = 0;
    by_blocks(length, [&](int64_t i, int64_t n) {
      fetch(in, at + i + n, n);
      const A* x = load(in, at + i, n, buffer);
      mean += sum_of<A>(n, [&](int64_t k) { return x[k]; });
    });
    mean /= static_cast<double>(length);
    const A centre = static_cast<A>(mean);
    by_blocks(length, [&](int64_t i, int64_t n) {
      const A* x = load(in, at + i, n, buffer);
      squares += sum_of<A>(n, [&](int64_t k) { return (x[k] - centre) * (x[k] - centre); });
    });
    const double rstd = 1 / __builtin_sqrt(squares / static_cast<double>(length) + call.reals[0]);
    set(call.operand[1], item, mean);
    set(call.operand[2], item, rstd);
    for (int64_t c = 0; c < g.each; ++c) {
      const int64_t channel = (first + c) % g.channels;
      const double scale = rstd * coefficient(call.operand[4], channel, 1);
      const A s = static_cast<A>(scale);
      const A t = static_cast<A>(coefficient(call.operand[5], channel, 0) - mean * scale);
      by_blocks(g.inner, [&](int64_t i, int64_t n) {
        const int64_t from = at + c * g.inner + i;
        const A* x = load(in, from, n, buffer);
        A* y = place(out, from, result);
        for (int64_t k = 0; k < n; ++k) y[k] = x[k] * s + t;
        store(out, from, n, y);
      });
    }
  }
}

// operands: grad_input or absent; dots, sums [samples, channels] of A's type: of grad times the
// normalised input, and of grad; grad, in, mean, rstd, weight or absent. ints[0]: groups.
template <class A>
void group_norm_backward(const Call& call, const Range& range) {
  const Operand &out = call.operand[0], &grad = call.operand[3], &in = call.operand[4];
  if constexpr (__is_same(A, float))
    if (with_wide_type({&in, &grad, &out},
                       [&]<class S>(S) { group_norm_backward_wide<S>(call, range); }))
      return;
  const Groups g(in, call.ints[0]);
  A *dots = call.operand[1].as<A>(), *sums = call.operand[2].as<A>();
  A *g_buffer = reinterpret_cast<A*>(range.scratch), *x_buffer = g_buffer + kBlock,
    *result = x_buffer + kBlock;
  const double count = static_cast<double>(g.each * g.inner);
  for (int64_t item = range.begin; item < range.end; ++item) {
    const int64_t first = g.first(item);
    const double mean = get(call.operand[5], item), rstd = get(call.operand[6], item);
    const A centre = static_cast<A>(mean);
    double mean_g = 0, mean_gx = 0;
    for (int64_t c = 0; c < g.each; ++c) {
      double dot = 0, sum = 0;
      by_blocks(g.inner, [&](int64_t i, int64_t n) {
        const int64_t at = (first + c) * g.inner + i;
        fetch(grad, at + n, n);
        fetch(in, at + n, n);
        const A *y = load(grad, at, n, g_buffer), *x = load(in, at, n, x_buffer);
        sum += sum_of<A>(n, [&](int64_t k) { return y[k]; });
        dot += sum_of<A>(n, [&](int64_t k) { return y[k] * (x[k] - centre); });
      });
      const double w = coefficient(call.operand[7], (first + c) % g.channels, 1);
      sums[first + c] = static_cast<A>(sum);
      dots[first + c] = static_cast<A>(dot * rstd);
      mean_g += w * sum / count;
      mean_gx += w * dot * rstd / count;
    }
    if (out.absent()) continue;
    // grad * scale + in * b + shift, by channel.
    const A b = static_cast<A>(-rstd * rstd * mean_gx);
    const A shift = static_cast<A>(rstd * (mean * rstd * mean_gx - mean_g));
    for (int64_t c = 0; c < g.each; ++c) {
      const A s = static_cast<A>(rstd * coefficient(call.operand[7], (first + c) % g.channels, 1));
      by_blocks(g.inner, [&](int64_t i, int64_t n) {
        const int64_t at = (first + c) * g.inner + i;
        const A *y = load(grad, at, n, g_buffer), *x = load(in, at, n, x_buffer);
        A* to = place(out, at, result);
        for (int64_t k = 0; k < n; ++k) to[k] = y[k] * s + x[k] * b + shift;
        store(out, at, n, to);
      });
    }
  }
}

TRN_REGISTER_REALS(group_norm);
TRN_REGISTER_REALS(group_norm_backward);

}  // namespace
}  // namespace trn
