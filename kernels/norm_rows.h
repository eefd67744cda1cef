// Normalisation of rows that are whole Wides of float or bfloat16, all operands of one type.
#pragma once

#include "rows.h"
#include "wide_sums.h"

namespace trn {
namespace {

// Rows up to this length are one block, converted once; longer ones are taken kBlock at a time.
constexpr int64_t kWhole = 16384;

template <class F>
TRN_INLINE void blocks_of(int64_t length, F f) {
  if (length <= kWhole) f(int64_t{0}, length);
  else by_blocks(length, f);
}

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
    const double rstd = get(call.operand[4], row);
    const Wide scale(static_cast<float>(rstd));
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
          b = b + g * (load_wide(x + i) - shift);
        });
    // (g - mean(g) - n mean(g n)) / deviation for n = (x - mean) / deviation, with what is the same
    // for the whole row multiplied out once.
    const Wide offset(centred ? static_cast<float>(sums.first / count * rstd) : 0.f);
    const Wide slope(static_cast<float>(sums.second / count * rstd * rstd * rstd));
    for (int64_t i = 0; i < length; i += kWide)
      store_wide(y + i, weighted(i) * scale - ((load_wide(x + i) - shift) * slope + offset));
  }
}

// Adds rows begin to end of grad * normalised and of grad to sums [2, length]. As many rows at once
// as keep a column's two sums in registers for their while; `w` and `b` have room for
// a block. before(top, rows) is called for rows that are about to be read, while they are one
// block.
template <class S, class F>
void add_weight_sums(const Call& call, int64_t begin, int64_t end, double* sums, float* w, float* b,
                     F before) {
  constexpr bool kBefore = !__is_same(F, decltype(nullptr));
  constexpr int64_t kRows = 2, kTerms = 64;  // sums in float are of at most kTerms terms
  const int64_t length = call.operand[2].sizes[1];
  const bool centred = call.ints[0];
  const S *grad = call.operand[1].as<S>(), *in = call.operand[2].as<S>();
  blocks_of(length, [&](int64_t from, int64_t n) {
    for (int64_t row = begin; row < end; row += kTerms) {
      const int64_t last = row + kTerms < end ? row + kTerms : end;
      for (int64_t k = 0; k < n; ++k) w[k] = b[k] = 0;
      for (int64_t top = row; top < last; top += kRows) {
        const int64_t rows = last - top < kRows ? last - top : kRows;
        if constexpr (kBefore) before(top, rows);
        float shift[kRows] = {}, scale[kRows];
        for (int64_t r = 0; r < rows; ++r) {
          if (centred) shift[r] = static_cast<float>(get(call.operand[3], top + r));
          scale[r] = static_cast<float>(get(call.operand[4], top + r));
        }
        for (int64_t k = 0; k < n; k += kWide) {
          Wide w_sum = load_wide(w + k), b_sum = load_wide(b + k);
          for (int64_t r = 0; r < rows; ++r) {
            const int64_t at = (top + r) * length + from + k;
            if constexpr (!kBefore) {
              fetch_wide(grad + at + kRows * length);
              fetch_wide(in + at + kRows * length);
            }
            const Wide g = load_wide(grad + at);
            w_sum = w_sum + g * ((load_wide(in + at) - Wide(shift[r])) * Wide(scale[r]));
            b_sum = b_sum + g;
          }
          store_wide(w + k, w_sum);
          store_wide(b + k, b_sum);
        }
      }
      for (int64_t k = 0; k < n; k += kWide)
        for (int64_t j = 0; j < kWide; ++j) {
          sums[from + k + j] += static_cast<double>(w[k + lane_of<S>(j)]);
          sums[length + from + k + j] += static_cast<double>(b[k + lane_of<S>(j)]);
        }
    }
  });
}

}  // namespace
}  // namespace trn
