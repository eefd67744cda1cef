// softmax and log-softmax over one dimension, and their gradients.
//
// Operands are [outer, length, inner] with any strides, the reduced dimension in the middle. One
// item is one row: outer * inner of them. Types may differ: work is in the kernel's own.
#include "rows.h"
#include "softmax_columns.h"
#include "softmax_rows.h"
#include "softmax_strips.h"

namespace trn {
namespace {

using TRN_ISA_NAMESPACE::convert_run;

// Rows up to this length are converted, and their exponentials computed, once.
constexpr int64_t kKept = 32768;

template <class A>
struct Row {
  const Operand& o;
  int64_t offset, length;
  Row(const Operand& o, int64_t item) : o(o), length(o.sizes[1]) {
    offset = item / o.sizes[2] * o.strides[0] + item % o.sizes[2] * o.strides[2];
  }
  TRN_INLINE char* at(int64_t i) const {
    return o.as<char>() + (offset + i * o.strides[1]) * dtype_size(o.dtype);
  }
  TRN_INLINE bool dense() const { return o.dtype == DTypeOf<A>::value && o.strides[1] == 1; }
  // n elements from i on as dense A: in place where they are that already, else in the buffer,
  // where those of a row that is kept stay.
  const A* load(int64_t i, int64_t n, A* buffer) const {
    if (dense()) return reinterpret_cast<A*>(at(i));
    A* to = length <= kKept ? buffer + i : buffer;
    convert_run(to, DTypeOf<A>::value, 1, at(i), o.dtype, o.strides[1], n);
    return to;
  }
  // The same, once more.
  const A* again(int64_t i, int64_t n, A* buffer) const {
    return dense() || length > kKept ? load(i, n, buffer) : buffer + i;
  }
  // Has the same elements of the next row fetched.
  TRN_INLINE void fetch_next(int64_t i, int64_t n) const {
    if (o.sizes[2] == 1 && o.strides[1] == 1) fetch(o, offset + o.strides[0] + i, n);
  }
  // Where to write what store() then need not move.
  A* place(int64_t i, A* buffer) const { return dense() ? reinterpret_cast<A*>(at(i)) : buffer; }
  void store(int64_t i, int64_t n, const A* values) const {
    if (reinterpret_cast<const A*>(at(i)) == values) return;
    convert_run(at(i), o.dtype, o.strides[1], values, DTypeOf<A>::value, 1, n);
  }
};

template <class A>
TRN_INLINE A largest(const A* x, int64_t n, A start) {
  return fold(n, start, [&](int64_t k) { return x[k]; }, [](A a, A b) { return a < b ? b : a; });
}

template <class A>
TRN_INLINE double total(const A* x, int64_t n) {
  return sum_of<A>(n, [&](int64_t k) { return x[k]; });
}

// Whether rows are dense and of one type that Wides are loaded from; f(S()) for it.
template <class F>
TRN_INLINE bool by_dense_rows(const Operand& a, const Operand& b, const Operand& c, F f) {
  const bool dense = a.strides[1] == 1 && b.strides[1] == 1 && c.strides[1] == 1;
  return dense && a.sizes[1] <= kKept && with_wide_type({&a, &b, &c}, f);
}
TRN_INLINE int64_t row_at(const Operand& o, int64_t item) {
  return item / o.sizes[2] * o.strides[0] + item % o.sizes[2] * o.strides[2];
}
template <class S, bool kLog>
void softmax_rows(const Call& call, const Range& range) {
  const Operand &dst = call.operand[0], &src = call.operand[1];
  for (int64_t item = range.begin; item < range.end; ++item) {
    const S* x = src.as<S>() + row_at(src, item);
    softmax_row<S, kLog>(x, dst.as<S>() + row_at(dst, item), src.sizes[1], x + src.strides[0],
                         reinterpret_cast<float*>(range.scratch));
  }
}
template <class S, bool kLog>
void softmax_backward_rows(const Call& call, const Range& range) {
  const Operand &dst = call.operand[0], &grad = call.operand[1], &y = call.operand[2];
  for (int64_t item = range.begin; item < range.end; ++item)
    softmax_backward_row<S, kLog>(grad.as<S>() + row_at(grad, item), y.as<S>() + row_at(y, item),
                                  dst.as<S>() + row_at(dst, item), grad.sizes[1]);
}

// operands: dst, src. ints[0]: log.
template <class A>
void softmax(const Call& call, const Range& range) {
  const Operand &dst = call.operand[0], &src = call.operand[1];
  if (by_columns(dst, src, src)) {
    if constexpr (__is_same(A, float))
      if (with_wide_type({&dst, &src}, [&]<class S>(S) {
            call.ints[0] ? softmax_strips<S, true>(call, range)
                         : softmax_strips<S, false>(call, range);
          }))
        return;
    return softmax_columns<A>(call, range);
  }
  if constexpr (__is_same(A, float))
    if (by_dense_rows(dst, src, src, [&]<class S>(S) {
          call.ints[0] ? softmax_rows<S, true>(call, range) : softmax_rows<S, false>(call, range);
        }))
      return;
  const int64_t length = src.sizes[1];
  const bool log = call.ints[0], kept = length <= kKept;
  A* buffer = reinterpret_cast<A*>(range.scratch);
  A* result = buffer + (kept ? length : kBlock);
  for (int64_t item = range.begin; item < range.end; ++item) {
    const Row<A> in(src, item), out(dst, item);
    A max = -infinity<A>();
    by_blocks(length, [&](int64_t i, int64_t n) {
      in.fetch_next(i, n);
      max = largest(in.load(i, n, buffer), n, max);
    });
    // The largest value is none of the NaNs; they reach the sum as themselves.
    double sum = 0;
    by_blocks(length, [&](int64_t i, int64_t n) {
      const A* x = in.again(i, n, buffer);
      A* e = kept ? out.place(i, result + i) : result;
      for (int64_t k = 0; k < n; ++k) e[k] = m_exp(x[k] - max);
      sum += total(e, n);
    });
    const A scale = static_cast<A>(1 / sum);
    const A shift = max + static_cast<A>(__builtin_log(sum));
    by_blocks(length, [&](int64_t i, int64_t n) {
      A* e = out.place(i, kept ? result + i : result);
      if (log) {
        const A* x = in.again(i, n, buffer);
        for (int64_t k = 0; k < n; ++k) e[k] = x[k] - shift;
      } else if (kept) {
        for (int64_t k = 0; k < n; ++k) e[k] *= scale;
      } else {
        const A* x = in.again(i, n, buffer);
        for (int64_t k = 0; k < n; ++k) e[k] = m_exp(x[k] - max) * scale;
      }
      out.store(i, n, e);
    });
  }
}

// operands: grad_input, grad, output. ints[0]: log.
template <class A>
void softmax_backward(const Call& call, const Range& range) {
  const Operand &dst = call.operand[0], &grads = call.operand[1], &outputs = call.operand[2];
  if (by_columns(dst, grads, outputs)) {
    if constexpr (__is_same(A, float))
      if (with_wide_type({&dst, &grads, &outputs}, [&]<class S>(S) {
            call.ints[0] ? softmax_backward_strips<S, true>(call, range)
                         : softmax_backward_strips<S, false>(call, range);
          }))
        return;
    return softmax_backward_columns<A>(call, range);
  }
  if constexpr (__is_same(A, float))
    if (by_dense_rows(dst, grads, outputs, [&]<class S>(S) {
          call.ints[0] ? softmax_backward_rows<S, true>(call, range)
                       : softmax_backward_rows<S, false>(call, range);
        }))
      return;
  const int64_t length = call.operand[1].sizes[1], room = length <= kKept ? length : kBlock;
  const bool log = call.ints[0];
  A* result = reinterpret_cast<A*>(range.scratch);
  A* buffer = result + kBlock;
  A* other = buffer + room;
  for (int64_t item = range.begin; item < range.end; ++item) {
    const Row<A> out(call.operand[0], item), grad(call.operand[1], item),
        output(call.operand[2], item);
    double sum = 0;
    by_blocks(length, [&](int64_t i, int64_t n) {
      grad.fetch_next(i, n);
      output.fetch_next(i, n);
      const A *g = grad.load(i, n, buffer), *y = output.load(i, n, other);
      sum += log ? total(g, n) : sum_of<A>(n, [&](int64_t k) { return g[k] * y[k]; });
    });
    const A s = static_cast<A>(sum);
    by_blocks(length, [&](int64_t i, int64_t n) {
      const A *g = grad.again(i, n, buffer), *y = output.again(i, n, other);
      A* to = out.place(i, result);
      if (log)
        for (int64_t k = 0; k < n; ++k) to[k] = g[k] - m_exp(y[k]) * s;
      else
        for (int64_t k = 0; k < n; ++k) to[k] = (g[k] - s) * y[k];
      out.store(i, n, to);
    });
  }
}

TRN_REGISTER_REALS(softmax);
TRN_REGISTER_REALS(softmax_backward);

}  // namespace
}  // namespace trn
