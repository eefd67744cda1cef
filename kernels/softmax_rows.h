// softmax along rows that lie dense in memory, of float or bfloat16 on both sides.
//
// All passes over a row but the first are over the first-level cache. Numbers stay in the lanes in
// which load_wide puts them until store_wide takes them from there.
#pragma once

#include "wide_sums.h"

namespace trn {
namespace {

// y = softmax(x), or its logarithm; `next` is the row that follows; `kept` has room for n floats
// and a Wide more.
template <class S, bool kLog>
TRN_INLINE void softmax_row(const S* x, S* y, int64_t n, const S* next, float* kept) {
  Wide most(-__builtin_inff());
  for (int64_t i = 0; i < n; i += kWide) {
    fetch_wide(next + i);
    const Wide v = load_wide(x + i, n - i, -__builtin_inff());
    most = if_less(most, v, v, most);
  }
  // The largest is none of the NaNs; they reach the sum as themselves.
  const float max = largest_of(most);
  const double raised = sum_by_wides(
      n, [&](int64_t i) __attribute__((always_inline)) {
        const Wide e = raised_exp(load_wide(x + i, n - i, -__builtin_inff()) - Wide(max));
        if constexpr (!kLog) store_wide(kept + i, e);
        return e;
      });
  if constexpr (kLog) {
    // One after the other: beside a large number the logarithm would be lost.
    const Wide log(static_cast<float>(__builtin_log(raised * kLower)));
    for (int64_t i = 0; i < n; i += kWide)
      store_wide(y + i, n - i, load_wide(x + i, n - i) - Wide(max) - log);
  } else {
    const Wide scale(static_cast<float>(1 / raised));
    for (int64_t i = 0; i < n; i += kWide) store_wide(y + i, n - i, load_wide(kept + i) * scale);
  }
}

// The gradient of x from that of y = softmax(x), or of its logarithm.
template <class S, bool kLog>
TRN_INLINE void softmax_backward_row(const S* grad, const S* y, S* out, int64_t n) {
  const double sum = sum_by_wides(
      n, [&](int64_t i) __attribute__((always_inline)) {
        const Wide g = load_wide(grad + i, n - i);
        if constexpr (kLog) return g;
        else return g * load_wide(y + i, n - i);
      });
  const Wide s(static_cast<float>(sum));
  for (int64_t i = 0; i < n; i += kWide) {
    const Wide g = load_wide(grad + i, n - i), v = load_wide(y + i, n - i);
    if constexpr (kLog) store_wide(out + i, n - i, g - fast_exp(v) * s);
    else store_wide(out + i, n - i, (g - s) * v);
  }
}

}  // namespace
}  // namespace trn
