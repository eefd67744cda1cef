// Operands whose rows are shorter than a block: many rows gathered into one.
#pragma once

#include "convert.h"
#include "walk.h"

namespace trn {
namespace {

// Whether the elements of an operand follow each other in memory through all its dimensions.
TRN_INLINE bool packed(const Operand& o) {
  int64_t expected = 1;
  for (int d = o.ndim - 1; d >= 0; --d) {
    if (o.sizes[d] != 1 && o.strides[d] != expected) return false;
    expected *= o.sizes[d];
  }
  return true;
}
// Whether all rows along the last dimension are the same one.
TRN_INLINE bool repeats_row(const Operand& o) {
  for (int d = 0; d + 1 < o.ndim; ++d)
    if (o.strides[d] != 0 && o.sizes[d] != 1) return false;
  return true;
}

// n elements from a position on, in row-major order: rows of the last dimension in a loop over the
// one before it.
template <class U>
void gather_rows(U* __restrict to, const Operand& o, Position p, int64_t n) {
  const int last = o.ndim - 1;
  const int64_t length = o.sizes[last], step = o.strides[last];
  for (int64_t left = n; left > 0;) {
    const auto* from = reinterpret_cast<const U*>(p.address(o));
    const int64_t run = p.row_left() < left ? p.row_left() : left;
    const int64_t whole = last > 0 && run == length ? left / length : 1;
    int64_t rows = whole > 1 ? o.sizes[last - 1] - p.at[last - 1] : 1;
    rows = rows < whole ? rows : whole;
    const int64_t beside = last > 0 ? o.strides[last - 1] : 0;
    for (int64_t r = 0; r < rows; ++r, to += run, from += beside) {
      if (step == 0)
        for (int64_t k = 0; k < run; ++k) to[k] = from[0];
      else
        for (int64_t k = 0; k < run; ++k) to[k] = from[k * step];
    }
    left -= rows * run;
    if (rows > 1) p.at[last - 1] += rows - 1;  // the last of them advances as rows do
    p.advance(run);
  }
}

TRN_INLINE void gather(char* to, const Operand& o, const Position& p, int64_t n) {
  switch (dtype_size(o.dtype)) {
    case 1: return gather_rows(reinterpret_cast<uint8_t*>(to), o, p, n);
    case 2: return gather_rows(reinterpret_cast<uint16_t*>(to), o, p, n);
    case 4: return gather_rows(reinterpret_cast<uint32_t*>(to), o, p, n);
    case 8: return gather_rows(reinterpret_cast<uint64_t*>(to), o, p, n);
    default: return gather_rows(reinterpret_cast<c128_t*>(to), o, p, n);
  }
}

}  // namespace
}  // namespace trn
