// Transposition of matrices of any element size, in registers.
#pragma once

#include <utility>

#include "convert.h"

namespace trn {
namespace {

// A block has at most sixteen rows of sixteen elements, or as many as a register holds.
template <class U>
constexpr int block_side() {
  constexpr int lanes = sizeof(U) > 8 ? 1 : kVectorBytes / static_cast<int>(sizeof(U));
  return lanes < 16 ? lanes : 16;
}
template <class U, int kSide>
struct BlockRow {
  typedef U type __attribute__((vector_size(kSide * sizeof(U)), aligned(sizeof(U)), may_alias));
};

template <class V, int n, int... k>
TRN_INLINE V first_halves(V a, V b, std::integer_sequence<int, k...>) {
  return __builtin_shufflevector(a, b, (k / 2 + k % 2 * n)...);
}
template <class V, int n, int... k>
TRN_INLINE V second_halves(V a, V b, std::integer_sequence<int, k...>) {
  return __builtin_shufflevector(a, b, (n / 2 + k / 2 + k % 2 * n)...);
}

// to[c][r] = from[r][c] for one block; rows lie `ldf` and `ldt` elements apart. Shuffling rows half
// a block apart into each other log2(side) times transposes it.
template <class U, int kSide>
TRN_INLINE void transpose_block(const U* from, int64_t ldf, U* to, int64_t ldt) {
  using V = typename BlockRow<U, kSide>::type;
  constexpr auto kSequence = std::make_integer_sequence<int, kSide>{};
  V x[kSide], y[kSide];
#pragma GCC unroll 16
  for (int r = 0; r < kSide; ++r) x[r] = *reinterpret_cast<const V*>(from + r * ldf);
#pragma GCC unroll 4
  for (int half = 1; half < kSide; half *= 2) {
#pragma GCC unroll 8
    for (int r = 0; r < kSide / 2; ++r) {
      y[2 * r] = first_halves<V, kSide>(x[r], x[r + kSide / 2], kSequence);
      y[2 * r + 1] = second_halves<V, kSide>(x[r], x[r + kSide / 2], kSequence);
    }
#pragma GCC unroll 16
    for (int r = 0; r < kSide; ++r) x[r] = y[r];
  }
#pragma GCC unroll 16
  for (int r = 0; r < kSide; ++r) *reinterpret_cast<V*>(to + r * ldt) = x[r];
}

// to[c][r] = from[r][c] for any numbers of rows and columns: whole blocks, and what is left of them
// in blocks of half the side.
template <class U, int kSide = block_side<U>()>
void transpose_matrix(const U* from, int64_t ldf, U* to, int64_t ldt, int64_t rows,
                      int64_t columns) {
  if constexpr (kSide < 2) {
    for (int64_t c = 0; c < columns; ++c)
      for (int64_t r = 0; r < rows; ++r) to[c * ldt + r] = from[r * ldf + c];
  } else {
    constexpr int kHalf = kSide > 4 ? kSide / 2 : 1;
    const int64_t whole_rows = rows / kSide * kSide, whole = columns / kSide * kSide;
    for (int64_t r = 0; r < whole_rows; r += kSide)
      for (int64_t c = 0; c < whole; c += kSide)
        transpose_block<U, kSide>(from + r * ldf + c, ldf, to + c * ldt + r, ldt);
    if (whole_rows < rows && whole)
      transpose_matrix<U, kHalf>(from + whole_rows * ldf, ldf, to + whole_rows, ldt,
                                 rows - whole_rows, whole);
    if (whole < columns)
      transpose_matrix<U, kHalf>(from + whole, ldf, to + whole * ldt, ldt, rows, columns - whole);
  }
}

// The same for elements of `size` bytes.
TRN_INLINE void transpose_any(const char* from, int64_t ldf, char* to, int64_t ldt, int64_t rows,
                              int64_t columns, int64_t size) {
  const auto of = [&](auto u) {
    using U = decltype(u);
    transpose_matrix<U>(reinterpret_cast<const U*>(from), ldf, reinterpret_cast<U*>(to), ldt, rows,
                        columns);
  };
  switch (size) {
    case 1: return of(uint8_t{});
    case 2: return of(uint16_t{});
    case 4: return of(uint32_t{});
    case 8: return of(uint64_t{});
    default: return of(c128_t{});
  }
}

}  // namespace
}  // namespace trn
