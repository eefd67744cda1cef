// Reductions over runs of a dimension, and the rows of a table held to a norm.
#include "blocks.h"
#include "math.h"

namespace trn {
namespace {

using TRN_ISA_NAMESPACE::convert_run;

enum Reduction : int64_t { kMax, kMean, kMin, kSum, kProd };

// operands of both kernels end with offsets [outer, segments + 1] i64 dense; ints: reduction.
struct Segment {
  int64_t begin, end;

  // Of item (outer, segment); what does not lie in [0, n] is reported and empty.
  TRN_INLINE Segment(const Operand& offsets, int64_t item, int64_t n, Fault* fault) {
    const int64_t segments = offsets.sizes[1] - 1;
    const int64_t* at = offsets.as<int64_t>() + item / segments * (segments + 1) + item % segments;
    begin = at[0];
    end = at[1];
    if (begin >= 0 && begin <= end && end <= n) return;
    fault->report(FaultKind::index_out_of_range, end, n);
    begin = end = 0;
  }
  TRN_INLINE int64_t length() const { return end - begin; }
};

template <class T>
TRN_INLINE T join(int64_t how, T a, T b) {
  switch (how) {
    case kMax: return b != b || b > a ? b : a;
    case kMin: return b != b || b < a ? b : a;
    case kProd: return a * b;
    default: return a + b;
  }
}

// operands: out [outer, segments, inner], data [outer, n, inner], dense. ints[1]: whether an
// initial value was given; reals: the value to start from. Items are (outer, segment).
template <class T>
void segment_reduce(const Call& call, const Range& range) {
  const Operand &out = call.operand[0], &data = call.operand[1];
  const int64_t segments = out.sizes[1], inner = out.sizes[2], n = data.sizes[1];
  const int64_t how = call.ints[0];
  for (int64_t item = range.begin; item < range.end; ++item) {
    const Segment s(call.operand[2], item, n, range.fault);
    T* to = out.as<T>() + item * inner;
    for (int64_t j = 0; j < inner; ++j) to[j] = static_cast<T>(call.reals[0]);
    const T* x = data.as<T>() + item / segments * n * inner;
    for (int64_t i = s.begin; i < s.end; ++i)
      for (int64_t j = 0; j < inner; ++j) to[j] = join(how, to[j], x[i * inner + j]);
    if (how == kMean && s.length() > 0)
      for (int64_t j = 0; j < inner; ++j) to[j] /= static_cast<T>(s.length());
    else if (how == kMean && !call.ints[1])
      for (int64_t j = 0; j < inner; ++j) to[j] = not_a_number<T>();
  }
}

// The gradients of one column of a segment, elements `step` apart.
template <class T>
TRN_INLINE void column_gradient(T* to, const T* x, int64_t n, int64_t step, T grad, T value,
                                int64_t how, T initial) {
  if (how == kSum || how == kMean) {
    for (int64_t i = 0; i < n; ++i) to[i * step] = how == kSum ? grad : grad / static_cast<T>(n);
  } else if (how == kProd) {
    for (int64_t i = 0; i < n; ++i) {
      T rest = initial;  // the product of the others, which no division gives beside a zero
      if (x[i * step] != T(0) && x[i * step] == x[i * step]) rest = value / x[i * step];
      else
        for (int64_t k = 0; k < n; ++k) rest *= k == i ? T(1) : x[k * step];
      to[i * step] = grad * rest;
    }
  } else {
    int64_t equal = 0;
    for (int64_t i = 0; i < n; ++i) equal += x[i * step] == value || x[i * step] != x[i * step];
    for (int64_t i = 0; i < n; ++i)
      if (x[i * step] == value || x[i * step] != x[i * step])
        to[i * step] = grad > T(0) ? grad / static_cast<T>(equal) : grad;  // as PyTorch has it
  }
}

// operands: grad_data [outer, n, inner] dense, zeroed; grad, out [outer, segments, inner], data,
// dense. reals: the value it started from. Items are (outer, segment).
template <class T>
void segment_reduce_backward(const Call& call, const Range& range) {
  const Operand &grad = call.operand[1], &out = call.operand[2], &data = call.operand[3];
  const int64_t segments = out.sizes[1], inner = out.sizes[2], n = data.sizes[1];
  for (int64_t item = range.begin; item < range.end; ++item) {
    const Segment s(call.operand[4], item, n, range.fault);
    const int64_t at = (item / segments * n + s.begin) * inner;
    for (int64_t j = 0; j < inner; ++j)
      column_gradient(call.operand[0].as<T>() + at + j, data.as<T>() + at + j, s.length(), inner,
                      grad.as<T>()[item * inner + j], out.as<T>()[item * inner + j], call.ints[0],
                      static_cast<T>(call.reals[0]));
  }
}

// operands: table [rows, width] of any strides, in place; used [rows] bool. A used row whose norm
// exceeds the greatest is scaled to it. reals: greatest norm, power. Items are rows.
template <class T>
void embedding_renorm(const Call& call, const Range& range) {
  const Operand& table = call.operand[0];
  const int64_t width = table.sizes[1];
  const T greatest = static_cast<T>(call.reals[0]), p = static_cast<T>(call.reals[1]);
  constexpr int64_t kColumns = 1024;
  T* row = reinterpret_cast<T*>(range.scratch);
  const auto each_part = [&](int64_t r, auto f) {  // loads columns, calls f, and stores if it says
    for (int64_t from = 0; from < width; from += kColumns) {
      const int64_t n = width - from < kColumns ? width - from : kColumns;
      char* at = table.as<char>() +
                 (r * table.strides[0] + from * table.strides[1]) * dtype_size(table.dtype);
      convert_run(row, DTypeOf<T>::value, 1, at, table.dtype, table.strides[1], n);
      if (f(n)) convert_run(at, table.dtype, table.strides[1], row, DTypeOf<T>::value, 1, n);
    }
  };
  for (int64_t r = range.begin; r < range.end; ++r) {
    if (!call.operand[1].as<bool>()[r]) continue;
    T sum = 0;
    each_part(r, [&](int64_t n) {
      for (int64_t i = 0; i < n; ++i) {
        const T x = row[i] < T(0) ? -row[i] : row[i];
        if (p == infinity<T>()) sum = x > sum ? x : sum;
        else sum += p == T(1) ? x : p == T(2) ? x * x : m_pow(x, p);
      }
      return false;
    });
    const T norm = p == infinity<T>() || p == T(1) ? sum : m_pow(sum, T(1) / p);
    if (!(norm > greatest)) continue;
    const T scale = greatest / (norm + T(1e-7));
    each_part(r, [&](int64_t n) {
      for (int64_t i = 0; i < n; ++i) row[i] *= scale;
      return true;
    });
  }
}

TRN_REGISTER_REALS(segment_reduce);
TRN_REGISTER_REALS(segment_reduce_backward);
TRN_REGISTER_REALS(embedding_renorm);

}  // namespace
}  // namespace trn
