// softmax along a dimension whose neighbours in memory belong to other rows, where all operands are
// of float or of bfloat16: a Wide of columns goes down the dimension, each lane a column of its
// own.
#pragma once

#include "softmax_columns.h"
#include "wide_sums.h"

namespace trn {
namespace {

// Exponentials are kept while a strip of them fits the second-level cache beside what is read.
constexpr int64_t kKeptBytes = 512 << 10;
constexpr int64_t kRowsAhead = 16;   // rows lie pages apart: the next are asked for early
constexpr int64_t kRowsSummed = 32;  // sums of sums: the error grows with the terms of one

// Columns [item, item + n), n <= kWide, of a [outer, length, inner] tensor whose inner stride is 1.
template <class S>
struct Strip {
  S* data;
  int64_t step, n;
  Strip(const Operand& o, int64_t item, int64_t n)
      : data(o.as<S>() + item / o.sizes[2] * o.strides[0] + item % o.sizes[2]),
        step(o.strides[1]),
        n(n) {}
  TRN_INLINE Wide load(int64_t row) const { return load_wide(data + row * step, n); }
  TRN_INLINE Wide first(int64_t row) const {
    fetch_wide(data + (row + kRowsAhead) * step);
    return load(row);
  }
  TRN_INLINE void store(int64_t row, Wide x) const { store_wide(data + row * step, n, x); }
};

// The sum over i < length of term(i).
template <class F>
TRN_INLINE Wide sum_of_rows(int64_t length, F term) {
  Wide sum(0.f);
  for (int64_t from = 0; from < length; from += kRowsSummed) {
    Wide part(0.f);
    for (int64_t i = from; i < length && i < from + kRowsSummed; ++i) part = part + term(i);
    sum = sum + part;
  }
  return sum;
}

// See softmax.
template <class S, bool kLog>
void softmax_strips(const Call& call, const Range& range) {
  const int64_t length = call.operand[1].sizes[1];
  const bool kept = !kLog && length * kWide * static_cast<int64_t>(sizeof(float)) <= kKeptBytes;
  float* buffer = reinterpret_cast<float*>(range.scratch);
  by_strips<kWide>(range, call.operand[1].sizes[2], [&](int64_t item, int64_t n) {
    const Strip<S> out(call.operand[0], item, n), in(call.operand[1], item, n);
    Wide max(-__builtin_inff());
    for (int64_t i = 0; i < length; ++i) {
      const Wide x = in.first(i);
      max = if_less(max, x, x, max);
    }
    const Wide sum = sum_of_rows(
        length, [&](int64_t i) __attribute__((always_inline)) {
          const Wide e = raised_exp(in.load(i) - max);
          if (kept) store_wide(buffer + i * kWide, e);
          return e;
        });
    if constexpr (kLog) {
      alignas(64) float total[kWide];
      store_wide(total, sum);
      for (float& t : total) t = static_cast<float>(__builtin_log(static_cast<double>(t) * kLower));
      const Wide log = load_wide(total);
      for (int64_t i = 0; i < length; ++i) out.store(i, in.load(i) - max - log);
    } else {
      const Wide scale = Wide(1.f) / sum;
      for (int64_t i = 0; i < length; ++i)
        out.store(i, (kept ? load_wide(buffer + i * kWide) : raised_exp(in.load(i) - max)) * scale);
    }
  });
}

// See softmax_backward.
template <class S, bool kLog>
void softmax_backward_strips(const Call& call, const Range& range) {
  const int64_t length = call.operand[1].sizes[1];
  by_strips<kWide>(range, call.operand[1].sizes[2], [&](int64_t item, int64_t n) {
    const Strip<S> out(call.operand[0], item, n), grad(call.operand[1], item, n),
        y(call.operand[2], item, n);
    const Wide sum = sum_of_rows(
        length, [&](int64_t i) __attribute__((always_inline)) {
          if constexpr (kLog) return grad.first(i);
          else return grad.first(i) * y.first(i);
        });
    for (int64_t i = 0; i < length; ++i) {
      const Wide g = grad.load(i), v = y.load(i);
      if constexpr (kLog) out.store(i, g - fast_exp(v) * sum);
      else out.store(i, (g - sum) * v);
    }
  });
}

}  // namespace
}  // namespace trn
