// softmax along a dimension whose neighbours in memory belong to other rows.
//
// Strips of neighbouring columns go down the dimension together, so that each lane is a column and
// memory is read along its lines. A block of rows brings the largest value up to date and the sum
// to its scale, so two passes over the strip, which stays in the second-level cache, are enough.
#pragma once

#include "math.h"
#include "rows.h"

namespace trn {
namespace {

inline constexpr int64_t kStrip = 128, kStripRows = 8;

// Columns [item, item + n) of [outer, length, inner] tensors whose inner stride is 1.
template <class A>
struct StripOf {
  const Operand& o;
  int64_t offset, n;

  StripOf(const Operand& o, int64_t item, int64_t n) : o(o), n(n) {
    offset = item / o.sizes[2] * o.strides[0] + item % o.sizes[2];
  }
  TRN_INLINE int64_t at(int64_t row) const { return offset + row * o.strides[1]; }
  TRN_INLINE const A* load(int64_t row, A* buffer) const {
    return trn::load(o, at(row), n, buffer);
  }
  TRN_INLINE void store(int64_t row, const A* values) const { trn::store(o, at(row), n, values); }
};

TRN_INLINE bool by_columns(const Operand& a, const Operand& b, const Operand& c) {
  return a.sizes[2] > 1 && a.strides[2] == 1 && b.strides[2] == 1 && c.strides[2] == 1;
}

// f(item, columns) for strips of at most `most` columns of the range, each within one outer index.
template <int64_t most = kStrip, class F>
TRN_INLINE void by_strips(const Range& range, int64_t inner, F f) {
  for (int64_t item = range.begin; item < range.end;) {
    int64_t n = inner - item % inner;
    if (n > most) n = most;
    if (n > range.end - item) n = range.end - item;
    f(item, n);
    item += n;
  }
}

// Of each column the largest value, the sum of exponentials relative to it, and room to work in.
template <class A>
struct Columns {
  A max[kStrip], sum[kStrip], before[kStrip], part[kStrip];

  TRN_INLINE void add(const A* const* x, int64_t rows, int64_t n) {
    for (int64_t c = 0; c < n; ++c) before[c] = max[c], part[c] = 0;
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < n; ++c)
        max[c] = max[c] >= x[r][c] || max[c] != max[c] ? max[c] : x[r][c];
    // Of infinities no difference is taken: as long as all is -inf the sum is 0.
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < n; ++c)
        part[c] += m_exp(x[r][c] - (max[c] == -infinity<A>() ? A(0) : max[c]));
    for (int64_t c = 0; c < n; ++c)
      sum[c] = part[c] + (before[c] == max[c] ? sum[c] : sum[c] * m_exp(before[c] - max[c]));
  }
};

template <class A>
void softmax_columns(const Call& call, const Range& range) {
  const Operand &dst = call.operand[0], &src = call.operand[1];
  const int64_t length = src.sizes[1];
  const bool log = call.ints[0];
  auto& columns = *reinterpret_cast<Columns<A>*>(range.scratch);
  A *max = columns.max, *sum = columns.sum;
  A* buffer = reinterpret_cast<A*>(range.scratch) + sizeof columns / sizeof(A);
  by_strips(range, src.sizes[2], [&](int64_t item, int64_t n) {
    const StripOf<A> in(src, item, n), out(dst, item, n);
    for (int64_t c = 0; c < n; ++c) max[c] = -infinity<A>(), sum[c] = 0;
    for (int64_t i = 0; i < length; i += kStripRows) {
      const int64_t rows = length - i < kStripRows ? length - i : kStripRows;
      const A* x[kStripRows];
      for (int64_t r = 0; r < rows; ++r) x[r] = in.load(i + r, buffer + r * kStrip);
      columns.add(x, rows, n);
    }
    for (int64_t c = 0; c < n; ++c)
      sum[c] =
          log ? max[c] + static_cast<A>(__builtin_log(static_cast<double>(sum[c]))) : A(1) / sum[c];
    for (int64_t i = 0; i < length; ++i) {
      const A* x = in.load(i, buffer);
      if (log)
        for (int64_t c = 0; c < n; ++c) buffer[c] = x[c] - sum[c];
      else
        for (int64_t c = 0; c < n; ++c) buffer[c] = m_exp(x[c] - max[c]) * sum[c];
      out.store(i, buffer);
    }
  });
}

template <class A>
void softmax_backward_columns(const Call& call, const Range& range) {
  const Operand &dst = call.operand[0], &grad = call.operand[1], &output = call.operand[2];
  const int64_t length = grad.sizes[1];
  const bool log = call.ints[0];
  A *left = reinterpret_cast<A*>(range.scratch), *right = left + kStrip, *part = right + kStrip,
    *sum = part + kStrip;
  by_strips(range, grad.sizes[2], [&](int64_t item, int64_t n) {
    const StripOf<A> gs(grad, item, n), ys(output, item, n), out(dst, item, n);
    for (int64_t c = 0; c < n; ++c) sum[c] = part[c] = 0;
    for (int64_t i = 0; i < length; ++i) {
      const A* g = gs.load(i, left);
      if (log) {
        for (int64_t c = 0; c < n; ++c) part[c] += g[c];
      } else {
        const A* y = ys.load(i, right);
        for (int64_t c = 0; c < n; ++c) part[c] += g[c] * y[c];
      }
      // Sums of sums: the error grows with the number of terms of one.
      if (i % 32 != 31 && i + 1 != length) continue;
      for (int64_t c = 0; c < n; ++c) sum[c] += part[c], part[c] = 0;
    }
    for (int64_t i = 0; i < length; ++i) {
      const A *g = gs.load(i, left), *y = ys.load(i, right);
      if (log)
        for (int64_t c = 0; c < n; ++c) left[c] = g[c] - m_exp(y[c]) * sum[c];
      else
        for (int64_t c = 0; c < n; ++c) left[c] = (g[c] - sum[c]) * y[c];
      out.store(i, left);
    }
  });
}

}  // namespace
}  // namespace trn
