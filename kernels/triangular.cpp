// Triangular systems and Cholesky factors of diagonal blocks that fit a thread's scratch; larger
// matrices are made of these and of products: csrc/ops/linalg_triangular.cpp.
#include "linalg.h"
#include "linalg_blocks.h"

namespace trn {
namespace {

// A block of T of order n as a lower triangle, row by row. An upper triangle is turned by half a
// turn, which is the same as taking unknowns from the last to the first.
template <class T>
void load_triangle(T* to, Matrix<T> from, bool upper, bool conj) {
  const int64_t n = from.rows;
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j <= i; ++j) {
      const T x = upper ? from.at(n - 1 - i, n - 1 - j) : from.at(i, j);
      to[i * n + j] = conj ? conj_of(x) : x;
    }
}

// operands: X [batch, n, k], read and written, T [batch, n, n], n <= kTriangle, any strides.
// X becomes T^-1 X. ints: upper, ones on the diagonal, conjugate T. An item is kPanel columns.
template <class T>
void triangular_solve(const Call& call, const Range& range) {
  const bool upper = call.ints[0], unit = call.ints[1], conj = call.ints[2];
  const int64_t n = call.operand[0].sizes[1], k = call.operand[0].sizes[2];
  const int64_t panels = (k + kPanel - 1) / kPanel;
  T* triangle = reinterpret_cast<T*>(range.scratch);
  T* panel = triangle + n * n;
  int64_t loaded = -1;
  for (int64_t item = range.begin; item < range.end; ++item) {
    const int64_t b = item / panels, first = item % panels * kPanel;
    if (b != loaded) load_triangle(triangle, matrix_of<T>(call.operand[1], b), upper, conj);
    loaded = b;
    const Matrix<T> x = matrix_of<T>(call.operand[0], b);
    const int64_t width = k - first < kPanel ? k - first : kPanel;
    for (int64_t i = 0; i < n; ++i)
      for (int64_t c = 0; c < width; ++c)
        panel[i * width + c] = x.at(upper ? n - 1 - i : i, first + c);
    for (int64_t i = 0; i < n; ++i) {
      T* row = panel + i * width;
      for (int64_t j = 0; j < i; ++j)
        add_scaled(row, panel + j * width, -triangle[i * n + j], width);
      if (!unit)
        for (int64_t c = 0; c < width; ++c) row[c] = divided(row[c], triangle[i * n + i]);
    }
    for (int64_t i = 0; i < n; ++i)
      for (int64_t c = 0; c < width; ++c)
        x.at(upper ? n - 1 - i : i, first + c) = panel[i * width + c];
  }
}

// operands: A [batch, n, n], n <= kTriangle, whose lower triangle is read and written, info
// [batch]. A becomes L with L L^H = A. ints: number of A's first row in the whole matrix. Where a
// leading minor is not positive its number is stored in info, once; such a matrix is left as is.
template <class T>
void cholesky(const Call& call, const Range& range) {
  using R = real_t<T>;
  T* l = reinterpret_cast<T*>(range.scratch);
  for (int64_t b = range.begin; b < range.end; ++b) {
    const Matrix<T> a = matrix_of<T>(call.operand[0], b);
    int32_t& info = call.operand[1].as<int32_t>()[b * call.operand[1].strides[0]];
    const int64_t n = a.rows;
    if (info) continue;
    // Columns of L side by side in scratch, so that updates run along them.
    for (int64_t j = 0; j < n; ++j)
      for (int64_t i = j; i < n; ++i) l[j * n + i] = a.at(i, j);
    for (int64_t j = 0; j < n && !info; ++j) {
      T* column = l + j * n;
      for (int64_t p = 0; p < j; ++p)
        add_scaled(column + j, l + p * n + j, -conj_of(l[p * n + j]), n - j);
      const R pivot = real_of(column[j]);
      if (!(pivot > 0)) {
        info = static_cast<int32_t>(call.ints[0] + j + 1);
        break;
      }
      const R root = m_sqrt(pivot);
      column[j] = T(root);
      scale(column + j + 1, R(1) / root, n - j - 1);
    }
    for (int64_t j = 0; j < n; ++j)
      for (int64_t i = j; i < n; ++i) a.at(i, j) = l[j * n + i];
  }
}

TRN_REGISTER_LINALG(triangular_solve, triangular_solve);
TRN_REGISTER_LINALG(cholesky, cholesky);

}  // namespace
}  // namespace trn
