// Q R factors of narrow panels by Householder's reflections, and the blocks that hold several
// reflections at once, so that the rest of a matrix is updated by products.
#include "linalg.h"

namespace trn {
namespace {

// operands: A [batch, m, n] with rows side by side, tau [batch, k], k <= min(m, n). A becomes R
// and, below it, the reflections' vectors without their leading 1.
template <class T>
void qr_panel(const Call& call, const Range& range) {
  const Operand& tau = call.operand[1];
  for (int64_t b = range.begin; b < range.end; ++b) {
    const Matrix<T> a = matrix_of<T>(call.operand[0], b);
    const int64_t m = a.rows;
    for (int64_t j = 0; j < tau.sizes[1]; ++j) {
      T* x = a.column(j) + j + 1;
      const T t = reflection(a.at(j, j), x, m - j - 1);
      tau.as<T>()[b * tau.strides[0] + j * tau.strides[1]] = t;
      for (int64_t c = j + 1; c < a.cols; ++c)
        reflect(a.at(j, c), a.column(c) + j + 1, x, conj_of(t), m - j - 1);
    }
  }
}

// operands: T [batch, w, w], G = V^H V of the same shape, tau [batch, w]. T is upper triangular
// with H_1 .. H_w = 1 - V T V^H.
template <class T>
void qr_block(const Call& call, const Range& range) {
  const Operand& tau = call.operand[2];
  for (int64_t b = range.begin; b < range.end; ++b) {
    const Matrix<T> t = matrix_of<T>(call.operand[0], b), g = matrix_of<T>(call.operand[1], b);
    for (int64_t i = 0; i < t.rows; ++i) {
      const T factor = tau.as<T>()[b * tau.strides[0] + i * tau.strides[1]];
      for (int64_t r = 0; r < i; ++r) {
        T sum = T(0);
        for (int64_t p = r; p < i; ++p) sum += t.at(r, p) * g.at(p, i);
        t.at(r, i) = -(factor * sum);
      }
      t.at(i, i) = factor;
      for (int64_t r = i + 1; r < t.rows; ++r) t.at(r, i) = T(0);
    }
  }
}

TRN_REGISTER_LINALG(qr_panel, qr_panel);
TRN_REGISTER_LINALG(qr_block, qr_block);

}  // namespace
}  // namespace trn
