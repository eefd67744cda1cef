// Eigenvalues and vectors of symmetric and Hermitian matrices: Householder's reduction to a real
// tridiagonal matrix, then the implicit Q L method with Wilkinson's shifts.
#include "linalg.h"

namespace trn {
namespace {

constexpr int kIterations = 50;  // Q L steps for each eigenvalue before it counts as failed
constexpr int kPatience = 10;    // of these, before what the matrix's norm rounds off is left out

// Copies the triangle that counts below the diagonal.
template <class T>
void fill_lower(Matrix<T> a, bool upper) {
  for (int64_t j = 0; j < a.cols; ++j) {
    for (int64_t i = j + 1; upper && i < a.rows; ++i) a.at(i, j) = conj_of(a.at(j, i));
    a.at(j, j) = T(real_of(a.at(j, j)));
  }
}

// w = a v for the lower triangle of a Hermitian matrix of order n, columns `across` apart.
template <class T>
void product_lower(T* w, const T* a, int64_t across, const T* v, int64_t n) {
  for (int64_t i = 0; i < n; ++i) w[i] = T(0);
  for (int64_t j = 0; j < n; ++j) {
    const T* column = a + j * across;
    w[j] += times(v[j], real_of(column[j])) + dot(column + j + 1, v + j + 1, n - j - 1);
    add_scaled(w + j + 1, column + j + 1, v[j], n - j - 1);
  }
}

// Reduces the lower triangle to diagonal d and subdiagonal e. Column k keeps, below row k, the
// vector of reflection k with its leading 1; tau holds the factors; w is work.
template <class T>
void reduce(Matrix<T> a, real_t<T>* d, real_t<T>* e, T* tau, T* w) {
  using R = real_t<T>;
  const int64_t n = a.rows;
  for (int64_t k = 0; k + 1 < n; ++k) {
    const int64_t left = n - k - 1;
    T* v = a.column(k) + k + 1;
    tau[k] = reflection(v[0], v + 1, left - 1);
    e[k] = real_of(v[0]);
    v[0] = T(1);
    if (!(tau[k] == T(0))) {
      T* rest = a.column(k + 1) + k + 1;
      product_lower(w, rest, a.across, v, left);
      for (int64_t i = 0; i < left; ++i) w[i] = tau[k] * w[i];
      const T half = times(tau[k] * dot(w, v, left), R(-0.5));
      add_scaled(w, v, half, left);
      for (int64_t j = 0; j < left; ++j) {
        T* column = rest + j * a.across;
        add_scaled(column + j, v + j, -conj_of(w[j]), left - j);
        add_scaled(column + j, w + j, -conj_of(v[j]), left - j);
      }
    }
    d[k] = real_of(a.at(k, k));
  }
  if (n) d[n - 1] = real_of(a.at(n - 1, n - 1));
}

// Replaces the vectors of reduce() by the product of their reflections.
template <class T>
void expand(Matrix<T> a, const T* tau) {
  const int64_t n = a.rows;
  for (int64_t k = n - 2; k >= 0; --k) {
    const int64_t left = n - k - 1;
    const T* v = a.column(k) + k + 1;
    for (int64_t j = k + 2; j < n; ++j) {
      T* column = a.column(j) + k + 1;
      column[0] = T(0);
      reflect(column[0], column + 1, v + 1, tau[k], left - 1);
    }
    T* next = a.column(k + 1) + k + 1;
    for (int64_t i = 0; i < left; ++i) next[i] = -(tau[k] * v[i]);
    next[0] += T(1);
  }
  for (int64_t i = 0; i < n; ++i) a.at(i, 0) = a.at(0, i) = T(i == 0);
}

// Turns two columns: (x, y) becomes (c x - s y, s x + c y).
template <class T>
TRN_INLINE void turn(T* x, T* y, real_t<T> c, real_t<T> s, int64_t n) {
  _Pragma("GCC ivdep") for (int64_t i = 0; i < n; ++i) {
    const T p = x[i], q = y[i];
    x[i] = times(p, c) - times(q, s);
    y[i] = times(p, s) + times(q, c);
  }
}

// Q L on (d, e): d becomes the eigenvalues, z's columns (none if null) the vectors. Returns how
// many values were not found.
template <class T>
int64_t solve_tridiagonal(real_t<T>* d, real_t<T>* e, int64_t n, Matrix<T>* z) {
  using R = real_t<T>;
  int64_t missing = 0;
  R norm = 0;
  for (int64_t i = 0; i < n; ++i) {
    const R most = m_fabs(d[i]) > m_fabs(e[i]) ? m_fabs(d[i]) : m_fabs(e[i]);
    norm = norm < most ? most : norm;
  }
  for (int64_t l = 0; l < n; ++l) {
    for (int step = 0;; ++step) {
      // Of a matrix without full rank the rest is rounding errors, among which none is small beside
      // its neighbours.
      const R noise = step < kPatience ? R(0) : norm;
      const auto small = [&](int64_t i) {
        return m_fabs(e[i]) <= epsilon<T>() * (m_fabs(d[i]) + m_fabs(d[i + 1]) + noise);
      };
      int64_t m = l;
      while (m + 1 < n && !small(m)) ++m;
      if (m == l) break;
      if (step == kIterations) {
        ++missing;
        break;
      }
      const R half = (d[l + 1] - d[l]) / (2 * e[l]);
      const R root = m_hypot(half, R(1));
      R g = d[m] - d[l] + e[l] / (half + (half < 0 ? -root : root));
      R s = 1, c = 1, p = 0;
      int64_t i = m - 1;
      for (; i >= l; --i) {
        const R f = s * e[i], b = c * e[i], r = m_hypot(f, g);
        e[i + 1] = r;
        if (r == 0) {
          d[i + 1] -= p;
          break;
        }
        s = f / r;
        c = g / r;
        g = d[i + 1] - p;
        const R t = (d[i] - g) * s + 2 * c * b;
        p = s * t;
        d[i + 1] = g + p;
        g = c * t - b;
        if (z) turn(z->column(i), z->column(i + 1), c, s, n);
      }
      e[m] = 0;
      if (i >= l) continue;
      d[l] -= p;
      e[l] = g;
    }
  }
  return missing;
}

// operands: values [batch, n] (real), A [batch, n, n] with rows side by side, whose lower or upper
// triangle is read and which becomes the vectors, work [batch, 4 n] of A's type, info [batch]
// (i32), the number of values that were not found. ints: upper, vectors.
template <class T>
void eigh(const Call& call, const Range& range) {
  using R = real_t<T>;
  for (int64_t b = range.begin; b < range.end; ++b) {
    const Operand &values = call.operand[0], &work = call.operand[2], &info = call.operand[3];
    Matrix<T> a = matrix_of<T>(call.operand[1], b);
    const int64_t n = a.rows;
    T *tau = work.as<T>() + b * work.strides[0], *w = tau + n;
    R *d = reinterpret_cast<R*>(w + n), *e = reinterpret_cast<R*>(w + 2 * n);
    fill_lower(a, call.ints[0]);
    const R unit = scale_of(a, true, sizeof(R) == 4 ? R(1e12) : R(1e100));
    if (unit != 1)
      for (int64_t j = 0; j < n; ++j) scale(a.column(j) + j, R(1) / unit, n - j);
    reduce(a, d, e, tau, w);
    if (n) e[n - 1] = 0;
    if (call.ints[1]) expand(a, tau);
    const int64_t missing = solve_tridiagonal<T>(d, e, n, call.ints[1] ? &a : nullptr);
    info.as<int32_t>()[b * info.strides[0]] = static_cast<int32_t>(missing);
    // In ascending order.
    for (int64_t i = 0; i < n; ++i) {
      int64_t least = i;
      for (int64_t j = i + 1; j < n; ++j)
        if (d[j] < d[least]) least = j;
      const R value = d[least];
      d[least] = d[i];
      for (int64_t r = 0; least != i && call.ints[1] && r < n; ++r) {
        const T t = a.at(r, i);
        a.at(r, i) = a.at(r, least);
        a.at(r, least) = t;
      }
      values.as<R>()[b * values.strides[0] + i * values.strides[1]] = value * unit;
    }
  }
}

TRN_REGISTER_LINALG(eigh, eigh);

}  // namespace
}  // namespace trn
