// Distances between the rows of two tables in a p-norm, and their gradients.
//
// A norm is chosen by p: 0 counts what differs, infinity takes the greatest difference. Sums run
// in kLanes partial sums, whose order does not depend on threads.
#include "convert.h"
#include "math.h"

namespace trn {
namespace {

constexpr int kLanes = 16;

template <class T>
TRN_INLINE T absolute(T x) {
  return x < T(0) ? -x : x;
}
template <class T>
TRN_INLINE T sign(T x) {
  return static_cast<T>(x > T(0)) - static_cast<T>(x < T(0));
}
template <class T>
TRN_INLINE T greater(T a, T b) {
  return a > b || a != a ? a : b;
}

// What a norm does: a term of a difference, how terms combine, the distance of the sum, and the
// gradient of a distance by one coordinate.
template <class T>
struct Count {
  TRN_INLINE explicit Count(T) {}
  TRN_INLINE T term(T d) const { return d != T(0) ? T(1) : T(0); }
  TRN_INLINE T join(T a, T b) const { return a + b; }
  TRN_INLINE T finish(T sum) const { return sum; }
  TRN_INLINE T slope(T, T, T) const { return T(0); }
};
template <class T>
struct Manhattan : Count<T> {
  using Count<T>::Count;
  TRN_INLINE T term(T d) const { return absolute(d); }
  TRN_INLINE T slope(T d, T grad, T) const { return grad * sign(d); }
};
template <class T>
struct Euclidean : Count<T> {
  using Count<T>::Count;
  TRN_INLINE T term(T d) const { return d * d; }
  TRN_INLINE T finish(T sum) const { return m_sqrt(sum); }
  TRN_INLINE T slope(T d, T grad, T dist) const { return dist == T(0) ? T(0) : grad * d / dist; }
};
template <class T>
struct Greatest : Count<T> {
  using Count<T>::Count;
  TRN_INLINE T term(T d) const { return absolute(d); }
  TRN_INLINE T join(T a, T b) const { return greater(a, b); }
  TRN_INLINE T slope(T d, T grad, T dist) const {
    return absolute(d) == dist ? grad * sign(d) : T(0);
  }
};
template <class T>
struct Power : Count<T> {
  T p;
  TRN_INLINE explicit Power(T power) : Count<T>(power), p(power) {}
  TRN_INLINE T term(T d) const { return m_pow(absolute(d), p); }
  TRN_INLINE T finish(T sum) const { return m_pow(sum, T(1) / p); }
  TRN_INLINE T slope(T d, T grad, T dist) const {
    if (dist == T(0) || (d == T(0) && p < T(1))) return T(0);
    return sign(d) * m_pow(absolute(d), p - T(1)) * grad / m_pow(dist, p - T(1));
  }
};

// Calls f with the norm of a call's p.
template <class T, class F>
TRN_INLINE void with_norm(const Call& call, F f) {
  const T p = static_cast<T>(call.reals[0]);
  if (p == T(0)) f(Count<T>(p));
  else if (p == T(1)) f(Manhattan<T>(p));
  else if (p == T(2)) f(Euclidean<T>(p));
  else if (p == infinity<T>()) f(Greatest<T>(p));
  else f(Power<T>(p));
}

template <class T, class N>
TRN_INLINE T distance(const N& norm, const T* a, const T* b, int64_t n) {
  T lane[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int k = 0; k < kLanes; ++k) lane[k] = norm.join(lane[k], norm.term(a[i + k] - b[i + k]));
  for (int k = 0; i < n; ++i, ++k) lane[k] = norm.join(lane[k], norm.term(a[i] - b[i]));
  for (int half = kLanes / 2; half; half /= 2)
    for (int k = 0; k < half; ++k) lane[k] = norm.join(lane[k], lane[k + half]);
  return norm.finish(lane[0]);
}

template <class T, class N>
TRN_INLINE void add_slopes(const N& norm, T* out, const T* a, const T* b, T grad, T dist,
                           int64_t n) {
  for (int64_t i = 0; i < n; ++i) out[i] += norm.slope(a[i] - b[i], grad, dist);
}

// operands: out [batch, m, n]; a [batch, m, width], b [batch, n, width]; all dense. reals: p.
// Items are rows of out.
template <class T>
void cdist(const Call& call, const Range& range) {
  const Operand &out = call.operand[0], &a = call.operand[1], &b = call.operand[2];
  const int64_t m = out.sizes[1], n = out.sizes[2], width = a.sizes[2];
  with_norm<T>(call, [&](auto norm) {
    for (int64_t row = range.begin; row < range.end; ++row)
      for (int64_t j = 0; j < n; ++j)
        out.as<T>()[row * n + j] =
            distance(norm, a.as<T>() + row * width, b.as<T>() + (row / m * n + j) * width, width);
  });
}

// operands: grad_a [batch, m, width]; grad [batch, m, n], a, b, distances; all dense. reals: p.
// Items are rows of a.
template <class T>
void cdist_backward(const Call& call, const Range& range) {
  const Operand &out = call.operand[0], &grad = call.operand[1], &a = call.operand[2],
                &b = call.operand[3], &dist = call.operand[4];
  const int64_t m = out.sizes[1], n = grad.sizes[2], width = a.sizes[2];
  with_norm<T>(call, [&](auto norm) {
    for (int64_t row = range.begin; row < range.end; ++row) {
      T* to = out.as<T>() + row * width;
      for (int64_t i = 0; i < width; ++i) to[i] = 0;
      for (int64_t j = 0; j < n; ++j)
        add_slopes(norm, to, a.as<T>() + row * width, b.as<T>() + (row / m * n + j) * width,
                   grad.as<T>()[row * n + j], dist.as<T>()[row * n + j], width);
    }
  });
}

// Where the distance of rows i < j of n stands in the upper triangle without its diagonal.
TRN_INLINE int64_t place_of(int64_t i, int64_t j, int64_t n) {
  return i * n - i * (i + 1) / 2 + j - i - 1;
}

// operands: out [n (n - 1) / 2], a [n, width], dense. reals: p. Items are rows.
template <class T>
void pdist(const Call& call, const Range& range) {
  const Operand& a = call.operand[1];
  const int64_t n = a.sizes[0], width = a.sizes[1];
  with_norm<T>(call, [&](auto norm) {
    for (int64_t i = range.begin; i < range.end; ++i)
      for (int64_t j = i + 1; j < n; ++j)
        call.operand[0].as<T>()[place_of(i, j, n)] =
            distance(norm, a.as<T>() + i * width, a.as<T>() + j * width, width);
  });
}

// operands: grad_a [n, width]; grad [n (n - 1) / 2] of any stride, a, distances. reals: p. Items
// are rows.
template <class T>
void pdist_backward(const Call& call, const Range& range) {
  const Operand &grad = call.operand[1], &a = call.operand[2], &dist = call.operand[3];
  const int64_t n = a.sizes[0], width = a.sizes[1];
  with_norm<T>(call, [&](auto norm) {
    for (int64_t i = range.begin; i < range.end; ++i) {
      T* to = call.operand[0].as<T>() + i * width;
      for (int64_t k = 0; k < width; ++k) to[k] = 0;
      for (int64_t j = 0; j < n; ++j) {
        if (j == i) continue;
        const int64_t at = i < j ? place_of(i, j, n) : place_of(j, i, n);
        add_slopes(norm, to, a.as<T>() + i * width, a.as<T>() + j * width,
                   grad.as<T>()[at * grad.strides[0]], dist.as<T>()[at], width);
      }
    }
  });
}

TRN_REGISTER_REALS(cdist);
TRN_REGISTER_REALS(cdist_backward);
TRN_REGISTER_REALS(pdist);
TRN_REGISTER_REALS(pdist_backward);

}  // namespace
}  // namespace trn
