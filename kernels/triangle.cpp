// Coordinates of a matrix' lower or upper triangle, row by row.
#include "convert.h"

namespace trn {
namespace {

// The sum of clamp(i + shift, 0, cols) over rows i < row.
TRN_INLINE int64_t clamped_sum(int64_t row, int64_t cols, int64_t shift) {
  const auto within = [row](int64_t x) { return x < 0 ? 0 : x < row ? x : row; };
  const int64_t begin = within(-shift), full = within(cols - shift);
  return (full - begin) * (begin + full - 1 + 2 * shift) / 2 + (row - full) * cols;
}

// operands: out [2, n] (i64 or i32). ints: columns, diagonal, upper. Items are rows.
template <class T>
void triangle(const Call& call, const Range& range) {
  const Operand& out = call.operand[0];
  const int64_t cols = call.ints[0], shift = call.ints[1] + !call.ints[2];
  const bool upper = call.ints[2];
  for (int64_t r = range.begin; r < range.end; ++r) {
    const int64_t below = clamped_sum(r, cols, shift);
    const int64_t edge = r + shift < 0 ? 0 : r + shift < cols ? r + shift : cols;
    const int64_t begin = upper ? edge : 0, end = upper ? cols : edge;
    T* rows = out.as<T>() + (upper ? r * cols - below : below);
    T* columns = rows + out.sizes[1];
    for (int64_t c = begin; c < end; ++c) {
      *rows++ = static_cast<T>(r);
      *columns++ = static_cast<T>(c);
    }
  }
}

TRN_REGISTER("triangle", DType::i64, triangle<int64_t>);
TRN_REGISTER("triangle", DType::i32, triangle<int32_t>);

}  // namespace
}  // namespace trn
