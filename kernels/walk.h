// Walking an N-d index space in row-major order, a run along the last dimension at a time.
#pragma once

#include "kernel.h"

namespace trn {
namespace {

// Coordinates of a linear element index, and how far a run goes along the last dimension.
struct Position {
  int64_t at[kMaxDims] = {};
  const Operand& shape;

  TRN_INLINE Position(const Operand& o, int64_t index) : shape(o) {
    for (int d = o.ndim - 1; d >= 0; --d) {
      at[d] = index % o.sizes[d];
      index /= o.sizes[d];
    }
  }
  TRN_INLINE int64_t row_left() const {
    const int last = shape.ndim - 1;
    return last < 0 ? 1 : shape.sizes[last] - at[last];
  }
  TRN_INLINE void advance(int64_t n) {  // n <= row_left()
    int d = shape.ndim - 1;
    if (d < 0) return;
    at[d] += n;
    while (d > 0 && at[d] == shape.sizes[d]) {
      at[d] = 0;
      ++at[--d];
    }
  }
  TRN_INLINE char* address(const Operand& o) const {
    int64_t offset = 0;
    for (int d = 0; d < shape.ndim; ++d) offset += at[d] * o.strides[d];
    return o.as<char>() + offset * dtype_size(o.dtype);
  }
  TRN_INLINE int64_t step(const Operand& o) const {
    return shape.ndim ? o.strides[shape.ndim - 1] : 0;
  }
  // Whole rows ahead that lie row_step() elements apart in an operand; none from within a row.
  TRN_INLINE int64_t rows_left() const {
    const int d = shape.ndim - 2;
    return d < 0 || at[d + 1] ? 0 : shape.sizes[d] - at[d];
  }
  TRN_INLINE int64_t row_step(const Operand& o) const {
    return shape.ndim > 1 ? o.strides[shape.ndim - 2] : 0;
  }
};

}  // namespace
}  // namespace trn
