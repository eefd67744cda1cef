// L U factors of narrow panels with row exchanges, and those exchanges applied elsewhere.
#include "linalg.h"

namespace trn {
namespace {

// operands: A [batch, m, n] with rows side by side, pivots [batch, k] (i32), k = min(m, n), info
// [batch] (i32). ints: number of A's first row in the whole matrix, whether to exchange rows.
// A becomes L and U, pivots the row that each row was exchanged with, counted from 1 in the whole
// matrix; info the number of the first pivot that is zero, once.
template <class T>
void lu_panel(const Call& call, const Range& range) {
  const int64_t offset = call.ints[0];
  const Operand& pivots = call.operand[1];
  for (int64_t b = range.begin; b < range.end; ++b) {
    const Matrix<T> a = matrix_of<T>(call.operand[0], b);
    int32_t* pivot = pivots.absent() ? nullptr : pivots.as<int32_t>() + b * pivots.strides[0];
    int32_t& info = call.operand[2].as<int32_t>()[b * call.operand[2].strides[0]];
    const int64_t m = a.rows, n = a.cols;
    for (int64_t j = 0; j < m && j < n; ++j) {
      T* column = a.column(j);
      if (call.ints[1]) {
        int64_t best = j;
        for (int64_t i = j + 1; i < m; ++i)
          if (cheap_size(column[i]) > cheap_size(column[best])) best = i;
        pivot[j * pivots.strides[1]] = static_cast<int32_t>(offset + best + 1);
        for (int64_t c = 0; c < n && best != j; ++c) {
          const T t = a.at(j, c);
          a.at(j, c) = a.at(best, c);
          a.at(best, c) = t;
        }
      }
      if (column[j] == T(0)) {
        if (!info) info = static_cast<int32_t>(offset + j + 1);
      } else {
        for (int64_t i = j + 1; i < m; ++i) column[i] = divided(column[i], column[j]);
      }
      for (int64_t c = j + 1; c < n; ++c)
        add_scaled(a.column(c) + j + 1, column + j + 1, -a.at(j, c), m - j - 1);
    }
  }
}

// operands: A [batch, m, n], pivots [batch, k] of whole matrices. Exchanges rows as the pivots
// say, or back. ints: number of A's first row in the whole matrix, back. An item is a column.
template <class T>
void lu_exchange(const Call& call, const Range& range) {
  const Operand& pivots = call.operand[1];
  const int64_t n = call.operand[0].sizes[2], k = pivots.sizes[1];
  for (int64_t item = range.begin; item < range.end; ++item) {
    const int64_t b = item / n, column = item % n;
    const Matrix<T> a = matrix_of<T>(call.operand[0], b);
    for (int64_t s = 0; s < k; ++s) {
      const int64_t i = call.ints[1] ? k - 1 - s : s;
      const int64_t p =
          pivots.as<int32_t>()[b * pivots.strides[0] + i * pivots.strides[1]] - 1 - call.ints[0];
      if (p < 0 || p >= a.rows) {
        range.fault->report(FaultKind::index_out_of_range, p, a.rows);
        continue;
      }
      const T t = a.at(i, column);
      a.at(i, column) = a.at(p, column);
      a.at(p, column) = t;
    }
  }
}

// operands: permutations [batch, m] (i64), holding 0 .. m-1, pivots [batch, k] (i32). Exchanges
// elements as the pivots say.
void lu_permutation(const Call& call, const Range& range) {
  const Operand &out = call.operand[0], &pivots = call.operand[1];
  for (int64_t b = range.begin; b < range.end; ++b) {
    int64_t* order = out.as<int64_t>() + b * out.strides[0];
    for (int64_t i = 0; i < pivots.sizes[1]; ++i) {
      const int64_t p = pivots.as<int32_t>()[b * pivots.strides[0] + i * pivots.strides[1]] - 1;
      if (p < 0 || p >= out.sizes[1]) {
        range.fault->report(FaultKind::index_out_of_range, p, out.sizes[1]);
        continue;
      }
      const int64_t t = order[i * out.strides[1]];
      order[i * out.strides[1]] = order[p * out.strides[1]];
      order[p * out.strides[1]] = t;
    }
  }
}

TRN_REGISTER_LINALG(lu_panel, lu_panel);
TRN_REGISTER_LINALG(lu_exchange, lu_exchange);
TRN_REGISTER("lu_permutation", DType::i64, lu_permutation);

}  // namespace
}  // namespace trn
