// A line of a tensor along the last dimension of an operand.
#pragma once

#include "kernel.h"

namespace trn {
namespace {

template <class T>
struct Line {
  T* data;
  int64_t step;
  TRN_INLINE T& operator[](int64_t i) const { return data[i * step]; }
};
// Line number `line` of all lines in row-major order; a scalar is a line of one.
template <class T>
TRN_INLINE Line<T> line_of(const Operand& o, int64_t line) {
  if (o.ndim == 0) return {o.as<T>(), 0};
  int64_t offset = 0;
  for (int d = o.ndim - 2; d >= 0; --d) {
    offset += line % o.sizes[d] * o.strides[d];
    line /= o.sizes[d];
  }
  return {o.as<T>() + offset, o.strides[o.ndim - 1]};
}
TRN_INLINE int64_t line_length(const Operand& o) { return o.ndim ? o.sizes[o.ndim - 1] : 1; }

}  // namespace
}  // namespace trn
