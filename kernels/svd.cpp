// Singular values and vectors of a square matrix by one-sided Jacobi rotations (Hestenes): columns
// are turned in pairs until all are orthogonal; their lengths are the values.
#include "linalg.h"

namespace trn {
namespace {

constexpr int kSweeps = 60;  // rounds over all pairs before the matrix counts as not converging

// |x|^2, |y|^2 and x^H y.
template <class T>
struct Products {
  real_t<T> xx, yy;
  T xy;
};
template <class T>
TRN_INLINE Products<T> products_of(const T* x, const T* y, int64_t n) {
  real_t<T> xx[kParts] = {}, yy[kParts] = {};
  T xy[kParts];
  for (int l = 0; l < kParts; ++l) xy[l] = T(0);
  const auto add = [&](int l, int64_t i) {
    xx[l] += square_of(x[i]);
    yy[l] += square_of(y[i]);
    xy[l] += conj_of(x[i]) * y[i];
  };
  int64_t i = 0;
  for (; i + kParts <= n; i += kParts)
    for (int l = 0; l < kParts; ++l) add(l, i + l);
  for (int l = 0; i < n; ++i, ++l) add(l, i);
  return {sum_parts(xx), sum_parts(yy), sum_parts(xy)};
}

// (x, y) becomes (c x - s f y, s x + c f y).
template <class T>
TRN_INLINE void turn(T* x, T* y, real_t<T> c, real_t<T> s, T f, int64_t n) {
  const T sf = times(f, s), cf = times(f, c);
  _Pragma("GCC ivdep") for (int64_t i = 0; i < n; ++i) {
    const T p = x[i], q = y[i];
    x[i] = times(p, c) - sf * q;
    y[i] = times(p, s) + cf * q;
  }
}
template <class T>
void exchange(T* x, T* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const T t = x[i];
    x[i] = y[i];
    y[i] = t;
  }
}

// One round over all pairs of columns of x; v (if any) is turned alike. Whether a pair was turned.
template <class T>
bool sweep(Matrix<T> x, Matrix<T>* v) {
  using R = real_t<T>;
  const int64_t n = x.cols;
  const R tolerance = epsilon<T>() * (4 + m_sqrt(R(n)) / 2);
  // Squared lengths far below the rounding of the largest element, which is 1 to 2: such a column
  // is zero, or else its products would underflow.
  const R nothing = epsilon<T>() * epsilon<T>() * epsilon<T>() * epsilon<T>();
  bool turned = false;
  for (int64_t i = 0; i + 1 < n; ++i)
    for (int64_t j = i + 1; j < n; ++j) {
      Products<T> p = products_of(x.column(i), x.column(j), n);
      if (p.xx < p.yy) {  // longer columns first: it converges sooner
        exchange(x.column(i), x.column(j), n);
        if (v) exchange(v->column(i), v->column(j), n);
        p = {p.yy, p.xx, conj_of(p.xy)};
        turned = true;
      }
      if (p.yy < nothing) {
        for (int64_t r = 0; r < n; ++r) x.at(r, j) = T(0);
        continue;
      }
      const R g = size_of(p.xy);
      if (!(g > tolerance * m_sqrt(p.xx) * m_sqrt(p.yy)) || g == 0) continue;
      turned = true;
      const R zeta = (p.yy - p.xx) / (2 * g);
      const R t = (zeta < 0 ? R(-1) : R(1)) / (m_fabs(zeta) + m_hypot(R(1), zeta));
      const R c = 1 / m_hypot(R(1), t), s = c * t;
      const T phase = conj_of(times(p.xy, 1 / g));
      turn(x.column(i), x.column(j), c, s, phase, n);
      if (v) turn(v->column(i), v->column(j), c, s, phase, n);
    }
  return turned;
}

// Makes column j, which has no direction, orthogonal to all others that have one: the unit vector
// with most outside their span is projected, twice against rounding.
template <class T>
void complete(Matrix<T> x, int64_t j) {
  using R = real_t<T>;
  const int64_t n = x.rows;
  int64_t best = 0;
  R least = infinity<R>();
  for (int64_t i = 0; i < n; ++i) {
    R inside = 0;
    for (int64_t c = 0; c < j; ++c) inside += square_of(x.at(i, c));
    if (inside < least) least = inside, best = i;
  }
  T* column = x.column(j);
  for (int64_t i = 0; i < n; ++i) column[i] = T(i == best);
  for (int pass = 0; pass < 2; ++pass)
    for (int64_t c = 0; c < j; ++c)
      add_scaled(column, x.column(c), -dot(x.column(c), column, n), n);
  scale(column, 1 / norm(column, n), n);
}

// operands: values [batch, n] (real), X [batch, n, n] with rows side by side, read and written, V
// of the same shape or absent, info [batch] (i32). X = U S V^H: X becomes U, V itself; without V
// only the values are found, and X is lost. info: 1 where it did not converge.
template <class T>
void svd(const Call& call, const Range& range) {
  using R = real_t<T>;
  const Operand &values = call.operand[0], &right = call.operand[2], &info = call.operand[3];
  for (int64_t b = range.begin; b < range.end; ++b) {
    const Matrix<T> x = matrix_of<T>(call.operand[1], b);
    Matrix<T> v{};
    const int64_t n = x.rows;
    if (!right.absent()) {
      v = matrix_of<T>(right, b);
      for (int64_t j = 0; j < n; ++j)
        for (int64_t i = 0; i < n; ++i) v.at(i, j) = T(i == j);
    }
    const R unit = scale_of(x, false, R(1));
    for (int64_t j = 0; unit != 1 && j < n; ++j) scale(x.column(j), R(1) / unit, n);
    int rounds = 0;
    const bool finite = unit - unit == 0;
    while (finite && rounds < kSweeps && sweep(x, v.data ? &v : nullptr)) ++rounds;
    info.as<int32_t>()[b * info.strides[0]] = !finite || rounds == kSweeps;
    for (int64_t j = 0; j < n; ++j) {
      const R length = norm(x.column(j), n);
      values.as<R>()[b * values.strides[0] + j * values.strides[1]] = length * unit;
      if (!v.data) continue;
      if (length > 0) scale(x.column(j), 1 / length, n);
      else complete(x, j);
    }
  }
}

TRN_REGISTER_LINALG(svd, svd);

}  // namespace
}  // namespace trn
