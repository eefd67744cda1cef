// Normalisation of rows that are whole Wides of float or bfloat16, all operands of one type.
#pragma once

#include "rows.h"
#include "wide_sums.h"

namespace trn {
namespace {

template <class S>
TRN_INLINE const S* data_or_null(const Operand& o) {
  return o.absent() ? nullptr : o.as<S>();
}

// See row_norm.
template <class S>
void row_norm_wide(const Call& call, const Range& range) {
  const Operand &mean = call.operand[1], &rstd = call.operand[2];
  const int64_t length = call.operand[3].sizes[1];
  const S *weight = data_or_null<S>(call.operand[4]), *bias = data_or_null<S>(call.operand[5]);
  const bool centred = call.ints[0];
  for (int64_t row = range.begin; row < range.end; ++row) {
    const S* x = call.operand[3].as<S>() + row * length;
    S* y = call.operand[0].as<S>() + row * length;
    double centre = 0;
    if (centred)
      centre = sum_by_wides(
                   length,
                   [&](int64_t i) __attribute__((always_inline)) {
                     fetch_wide(x + length + i);
                     return load_wide(x + i);
                   }) /
               static_cast<double>(length);
    const Wide shift(static_cast<float>(centre));
    const double squares = sum_by_wides(
        length, [&](int64_t i) __attribute__((always_inline)) {
          if (!centred) fetch_wide(x + length + i);
          const Wide d = load_wide(x + i) - shift;
          return d * d;
        });
    const double deviation =
        1 / __builtin_sqrt(squares / static_cast<double>(length) + call.reals[0]);
    if (!mean.absent()) set(mean, row, centre);
    if (!rstd.absent()) set(rstd, row, deviation);
    const Wide scale(static_cast<float>(deviation));
    for (int64_t i = 0; i < length; i += kWide) {
      Wide v = (load_wide(x + i) - shift) * scale;
      if (weight) v = v * load_wide(weight + i);
      if (bias) v = v + load_wide(bias + i);
      store_wide(y + i, v);
    }
  }
}

// See row_norm_backward.
template <class S, bool kWeighted>
void row_norm_backward_wide(const Call& call, const Range& range) {
  const int64_t length = call.operand[2].sizes[1];
  const S* weight = data_or_null<S>(call.operand[5]);
  const bool centred = call.ints[0];
  const double count = static_cast<double>(length);
  for (int64_t row = range.begin; row < range.end; ++row) {
    const S *grad = call.operand[1].as<S>() + row * length,
            *x = call.operand[2].as<S>() + row * length;
    S* y = call.operand[0].as<S>() + row * length;
    const Wide shift(centred ? static_cast<float>(get(call.operand[3], row)) : 0.f);
    const Wide scale(static_cast<float>(get(call.operand[4], row)));
    const auto weighted = [&](int64_t i) __attribute__((always_inline)) {
      const Wide g = load_wide(grad + i);
      if constexpr (kWeighted) return g * load_wide(weight + i);
      else return g;
    };
    TwoSums sums;
    sum_by_wides(
        length, sums, [&](int64_t i, Wide & a, Wide & b) __attribute__((always_inline)) {
          fetch_wide(grad + length + i);
          fetch_wide(x + length + i);
          const Wide g = weighted(i);
          a = a + g;
          b = b + g * ((load_wide(x + i) - shift) * scale);
        });
    const Wide mean_g(centred ? static_cast<float>(sums.first / count) : 0.f);
    const Wide mean_gx(static_cast<float>(sums.second / count));
    for (int64_t i = 0; i < length; i += kWide)
      store_wide(y + i,
                 (weighted(i) - mean_g - (load_wide(x + i) - shift) * scale * mean_gx) * scale);
  }
}

}  // namespace
}  // namespace trn
