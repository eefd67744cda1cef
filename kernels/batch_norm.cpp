// Batch normalisation in training, of planes: both passes over a channel while it is in the cache.
//
// Tensors are [outer, channels, inner], dense, of float or bfloat16. Items are channels. Statistics
// are float.
#include "rows.h"
#include "wide_planes.h"

namespace trn {
namespace {

// f(at, next) for the planes of a channel: where each begins, and where the one after it does.
template <class F>
TRN_INLINE void by_planes(const Operand& o, int64_t channel, F f) {
  const int64_t step = o.sizes[1] * o.sizes[2];
  for (int64_t outer = 0, at = channel * o.sizes[2]; outer < o.sizes[0]; ++outer, at += step)
    f(at, at + step);
}

// operands: out, mean, variance (biased), invstd [channels]; in, weight, bias [channels] or absent.
// reals[0]: eps.
template <class S>
TRN_INLINE void forward(const Call& call, const Range& range) {
  const Operand& in = call.operand[4];
  const S* x = in.as<S>();
  const double count = static_cast<double>(in.sizes[0] * in.sizes[2]);
  for (int64_t c = range.begin; c < range.end; ++c) {
    const float pivot = pivot_of(x + c * in.sizes[2], in.sizes[2]);
    TwoSums sums;
    by_planes(
        in, c, [&](int64_t at, int64_t next) __attribute__((always_inline)) {
          add_moments(x + at, x + next, in.sizes[2], pivot, sums);
        });
    const Spread spread = spread_of(sums, count, pivot);
    const double invstd = 1 / __builtin_sqrt(spread.variance + call.reals[0]);
    set(call.operand[1], c, spread.mean);
    set(call.operand[2], c, spread.variance);
    set(call.operand[3], c, invstd);
    const double scale = call.operand[5].absent() ? invstd : invstd * get(call.operand[5], c);
    const double shift =
        (call.operand[6].absent() ? 0 : get(call.operand[6], c)) - spread.mean * scale;
    by_planes(
        in, c, [&](int64_t at, int64_t) __attribute__((always_inline)) {
          scale_plane(x + at, call.operand[0].as<S>() + at, in.sizes[2], scale, shift);
        });
  }
}
void batch_norm(const Call& call, const Range& range) {
  with_wide_type({&call.operand[0], &call.operand[4]},
                 [&]<class S>(S) { forward<S>(call, range); });
}

// operands: grad_input or absent; sum, dot [channels] of grad and of grad * (in - mean); grad, in,
// mean, invstd, weight or absent.
template <class S>
TRN_INLINE void backward(const Call& call, const Range& range) {
  const Operand &out = call.operand[0], &in = call.operand[4];
  const S *grad = call.operand[3].as<S>(), *x = in.as<S>();
  const double count = static_cast<double>(in.sizes[0] * in.sizes[2]);
  for (int64_t c = range.begin; c < range.end; ++c) {
    const double mean = get(call.operand[5], c), invstd = get(call.operand[6], c);
    TwoSums sums;
    by_planes(
        in, c, [&](int64_t at, int64_t next) __attribute__((always_inline)) {
          add_products(grad + at, x + at, grad + next, x + next, in.sizes[2],
                       static_cast<float>(mean), sums);
        });
    set(call.operand[1], c, sums.first);
    set(call.operand[2], c, sums.second);
    if (out.absent()) continue;
    // grad * scale + in * other + shift, of which both sums vanish.
    const double scale = call.operand[7].absent() ? invstd : invstd * get(call.operand[7], c);
    const double other = -sums.second * invstd * invstd * scale / count;
    const double shift = -sums.first * scale / count - mean * other;
    by_planes(
        in, c, [&](int64_t at, int64_t) __attribute__((always_inline)) {
          mix_planes(grad + at, x + at, out.as<S>() + at, in.sizes[2], scale, other, shift);
        });
  }
}
void batch_norm_backward(const Call& call, const Range& range) {
  with_wide_type({&call.operand[4], &call.operand[3], &call.operand[0]},
                 [&]<class S>(S) { backward<S>(call, range); });
}

TRN_REGISTER("batch_norm", DType::f32, batch_norm);
TRN_REGISTER("batch_norm_backward", DType::f32, batch_norm_backward);

}  // namespace
}  // namespace trn
