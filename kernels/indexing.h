// Walking several operands of one shape together, and reading index operands.
#pragma once

#include "convert.h"

namespace trn {
namespace {

// Element offsets of the first n operands of a call, moved together through a shape in row-major
// order, a run along the last dimension at a time.
//   for (Walk w(call, shape, n, begin, end); w.left > 0; w.advance(run)) { run = w.run(); ... }
struct Walk {
  int64_t offset[kMaxOperands];  // of the current element; immediates and absent ones stay at 0
  int64_t left;                  // elements still to visit

  // Visits [begin, end) of the shape of operand `shape`. With 0 <= split < ndim, only entries
  // [from, to) of dimension `split` belong to the shape.
  TRN_INLINE Walk(const Call& call, const Operand& shape, int n, int64_t begin, int64_t end,
                  int64_t split = -1, int64_t from = 0, int64_t to = 0)
      : left(end - begin), ndim_(shape.ndim > 0 ? shape.ndim : 1), n_(n) {
    for (int d = 0; d < ndim_; ++d) size_[d] = shape.ndim > 0 ? shape.sizes[d] : 1;
    for (int k = 0; k < n; ++k) {
      const Operand& o = call.operand[k];
      const bool strided = o.data && o.ndim == shape.ndim;
      for (int d = 0; d < ndim_; ++d) stride_[k][d] = strided && o.ndim > 0 ? o.strides[d] : 0;
      offset[k] = split >= 0 ? from * stride_[k][split] : 0;
    }
    if (split >= 0) size_[split] = to - from;
    for (int d = ndim_ - 1; d >= 0; --d) {
      at_[d] = begin % size_[d];
      begin /= size_[d];
      for (int k = 0; k < n; ++k) offset[k] += at_[d] * stride_[k][d];
    }
  }

  TRN_INLINE int64_t run() const {
    const int64_t row = size_[ndim_ - 1] - at_[ndim_ - 1];
    return row < left ? row : left;
  }
  TRN_INLINE int64_t step(int k) const { return stride_[k][ndim_ - 1]; }
  TRN_INLINE int64_t at(int d) const { return at_[d]; }

  TRN_INLINE void advance(int64_t run) {  // run <= run()
    left -= run;
    move(ndim_ - 1, run);
  }
  // Whole rows from here on that follow each other in the dimension before the last one.
  TRN_INLINE int64_t rows() const {
    const int d = ndim_ - 1;
    if (d == 0 || at_[d] != 0) return 0;
    const int64_t beside = size_[d - 1] - at_[d - 1], whole = left / size_[d];
    return beside < whole ? beside : whole;
  }
  TRN_INLINE int64_t row_step(int k) const { return stride_[k][ndim_ - 2]; }
  TRN_INLINE void advance_rows(int64_t n) {  // n <= rows()
    left -= n * size_[ndim_ - 1];
    move(ndim_ - 2, n);
  }

 private:
  TRN_INLINE void move(int d, int64_t steps) {
    at_[d] += steps;
    for (int k = 0; k < n_; ++k) offset[k] += steps * stride_[k][d];
    while (d > 0 && at_[d] == size_[d]) {
      for (int k = 0; k < n_; ++k) offset[k] += stride_[k][d - 1] - size_[d] * stride_[k][d];
      at_[d] = 0;
      ++at_[--d];
    }
  }

  int ndim_, n_;
  int64_t size_[kMaxDims], at_[kMaxDims];
  int64_t stride_[kMaxOperands][kMaxDims];
};

// Element at an offset of an integer operand (i64 or i32).
TRN_INLINE int64_t index_at(const Operand& o, int64_t offset) {
  return o.dtype == DType::i32 ? o.as<int32_t>()[offset] : o.as<int64_t>()[offset];
}

// The place that index operands [first, n) choose at one element, as an element offset; -1 after
// reporting an index out of range. `sizes` holds the size and the element stride of the dimension
// that each index is for; negative indices count from the end where `wrap` says so.
TRN_INLINE int64_t chosen(const Call& call, const int64_t* offsets, int first, int n, bool wrap,
                          const int64_t* sizes, const Range& range) {
  int64_t place = 0;
  for (int k = first; k < n; ++k) {
    const int64_t size = sizes[2 * (k - first)];
    const int64_t index = index_at(call.operand[k], offsets[k]);
    const int64_t i = wrap && index < 0 ? index + size : index;
    if (i < 0 || i >= size) {
      range.fault->report(FaultKind::index_out_of_range, index, size);
      return -1;
    }
    place += i * sizes[2 * (k - first) + 1];
  }
  return place;
}

// f(k, place) for each element k of a row of `run`, with the place that the one index operand, at
// an element offset and with a step, chooses there: -1 after reporting an index out of range.
template <class F>
TRN_INLINE void each_chosen(const Operand& o, int64_t offset, int64_t step, int64_t run, bool wrap,
                            const int64_t* sizes, const Range& range, F f) {
  const int64_t size = sizes[0], stride = sizes[1], less = wrap ? size : 0;
  const auto visit = [&](const auto* at) {
    for (int64_t k = 0; k < run; ++k) {
      const int64_t index = at[k * step];
      const int64_t i = index < 0 ? index + less : index;
      if (static_cast<uint64_t>(i) >= static_cast<uint64_t>(size)) [[unlikely]] {
        range.fault->report(FaultKind::index_out_of_range, index, size);
        f(k, int64_t{-1});
      } else {
        f(k, i * stride);
      }
    }
  };
  if (o.dtype == DType::i32) visit(o.as<int32_t>() + offset);
  else visit(o.as<int64_t>() + offset);
}

// Whether every index operand [first, n) stays where it is along a row.
TRN_INLINE bool constant_along_row(const Walk& w, int first, int n) {
  for (int k = first; k < n; ++k)
    if (w.step(k) != 0) return false;
  return true;
}

// Has all of what the next row's indices choose from fetched, where that is a small row that most
// of them hit: at random they would wait for every line of it.
template <class T>
TRN_INLINE void fetch_choices(const Operand& o, const T* row, int64_t run, const int64_t* sizes) {
  constexpr int64_t kLine = 64, kSmall = 16384, kSize = sizeof(T);
  const int64_t bytes = sizes[0] * sizes[1] * kSize;
  if (o.ndim < 2 || sizes[1] * kSize > kLine || bytes > kSmall || bytes > run * kLine) return;
  const char* next = reinterpret_cast<const char*>(row + o.strides[o.ndim - 2]);
  for (int64_t k = 0; k < bytes; k += kLine) __builtin_prefetch(next + k);
}

// An element of 16 bytes that is only moved.
struct Wide {
  uint64_t a, b;
};

// Kernels that only move are registered by element size, under the unsigned type of that size.
#define TRN_REGISTER_BY_SIZE(name)                 \
  TRN_REGISTER(#name, DType::u8, name<uint8_t>);   \
  TRN_REGISTER(#name, DType::u16, name<uint16_t>); \
  TRN_REGISTER(#name, DType::u32, name<uint32_t>); \
  TRN_REGISTER(#name, DType::u64, name<uint64_t>); \
  TRN_REGISTER(#name, DType::c128, name<Wide>)

}  // namespace
}  // namespace trn
