// softmax and log-softmax over one dimension, and their gradients.
//
// Operands are [outer, length, inner] with any strides, the reduced dimension in the middle. One
// item is one row: outer * inner of them. Types may differ: work is in the kernel's own.
#include "blocks.h"
#include "math.h"

namespace trn {
namespace {

using TRN_ISA_NAMESPACE::convert_run;

template <class A>
struct Row {
  const Operand& o;
  int64_t offset;
  Row(const Operand& o, int64_t item) : o(o) {
    offset = item / o.sizes[2] * o.strides[0] + item % o.sizes[2] * o.strides[2];
  }
  char* at(int64_t i) const {
    return o.as<char>() + (offset + i * o.strides[1]) * dtype_size(o.dtype);
  }
  // n elements from i on as dense A: in place where they are that already.
  const A* load(int64_t i, int64_t n, A* buffer) const {
    if (o.dtype == DTypeOf<A>::value && o.strides[1] == 1) return reinterpret_cast<A*>(at(i));
    convert_run(buffer, DTypeOf<A>::value, 1, at(i), o.dtype, o.strides[1], n);
    return buffer;
  }
  void store(int64_t i, int64_t n, const A* values) const {
    convert_run(at(i), o.dtype, o.strides[1], values, DTypeOf<A>::value, 1, n);
  }
};

constexpr int kLanes = 16;

template <class A>
TRN_INLINE A largest(const A* x, int64_t n, A start) {
  A lane[kLanes];
  for (int k = 0; k < kLanes; ++k) lane[k] = start;
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int k = 0; k < kLanes; ++k) lane[k] = lane[k] < x[i + k] ? x[i + k] : lane[k];
  for (; i < n; ++i) lane[0] = lane[0] < x[i] ? x[i] : lane[0];
  for (int k = 1; k < kLanes; ++k) lane[0] = lane[0] < lane[k] ? lane[k] : lane[0];
  return lane[0];
}

template <class A>
TRN_INLINE A total(const A* x, int64_t n) {
  A lane[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int k = 0; k < kLanes; ++k) lane[k] += x[i + k];
  for (; i < n; ++i) lane[0] += x[i];
  for (int k = 1; k < kLanes; ++k) lane[0] += lane[k];
  return lane[0];
}

template <class F>
TRN_INLINE void by_blocks(int64_t length, F f) {
  for (int64_t i = 0; i < length; i += kBlock) f(i, length - i < kBlock ? length - i : kBlock);
}

// operands: dst, src. ints[0]: log.
template <class A>
void softmax(const Call& call, const Range& range) {
  const Operand &dst = call.operand[0], &src = call.operand[1];
  const int64_t length = src.sizes[1];
  const bool log = call.ints[0];
  A* buffer = reinterpret_cast<A*>(range.scratch);
  A* result = buffer + kBlock;
  for (int64_t item = range.begin; item < range.end; ++item) {
    const Row<A> in(src, item), out(dst, item);
    A max = -infinity<A>();
    bool nan = false;
    by_blocks(length, [&](int64_t i, int64_t n) {
      const A* x = in.load(i, n, buffer);
      max = largest(x, n, max);
      A any = 0;
      for (int64_t k = 0; k < n; ++k) any += x[k] != x[k] ? A(1) : A(0);
      nan |= any != 0;
    });
    double sum = 0;
    by_blocks(length, [&](int64_t i, int64_t n) {
      const A* x = in.load(i, n, buffer);
      for (int64_t k = 0; k < n; ++k) result[k] = m_exp(x[k] - max);
      sum += static_cast<double>(total(result, n));
    });
    const A scale = nan ? not_a_number<A>() : static_cast<A>(1 / sum);
    const A shift = nan ? not_a_number<A>() : max + static_cast<A>(__builtin_log(sum));
    by_blocks(length, [&](int64_t i, int64_t n) {
      if (log) {
        const A* x = in.load(i, n, buffer);
        for (int64_t k = 0; k < n; ++k) result[k] = x[k] - shift;
      } else if (length <= kBlock) {
        for (int64_t k = 0; k < n; ++k) result[k] *= scale;
      } else {
        const A* x = in.load(i, n, buffer);
        for (int64_t k = 0; k < n; ++k) result[k] = m_exp(x[k] - max) * scale;
      }
      out.store(i, n, result);
    });
  }
}

// operands: grad_input, grad, output. ints[0]: log.
template <class A>
void softmax_backward(const Call& call, const Range& range) {
  const int64_t length = call.operand[1].sizes[1];
  const bool log = call.ints[0];
  A* buffer = reinterpret_cast<A*>(range.scratch);
  A* other = buffer + kBlock;
  A* result = other + kBlock;
  for (int64_t item = range.begin; item < range.end; ++item) {
    const Row<A> out(call.operand[0], item), grad(call.operand[1], item),
        output(call.operand[2], item);
    double sum = 0;
    by_blocks(length, [&](int64_t i, int64_t n) {
      const A* g = grad.load(i, n, buffer);
      if (log) {
        sum += static_cast<double>(total(g, n));
      } else {
        const A* y = output.load(i, n, other);
        for (int64_t k = 0; k < n; ++k) result[k] = g[k] * y[k];
        sum += static_cast<double>(total(result, n));
      }
    });
    const A s = static_cast<A>(sum);
    by_blocks(length, [&](int64_t i, int64_t n) {
      const A* g = grad.load(i, n, buffer);
      const A* y = output.load(i, n, other);
      if (log)
        for (int64_t k = 0; k < n; ++k) result[k] = g[k] - m_exp(y[k]) * s;
      else
        for (int64_t k = 0; k < n; ++k) result[k] = (g[k] - s) * y[k];
      out.store(i, n, result);
    });
  }
}

TRN_REGISTER("softmax", DType::f32, softmax<float>);
TRN_REGISTER("softmax", DType::f64, softmax<double>);
TRN_REGISTER("softmax_backward", DType::f32, softmax_backward<float>);
TRN_REGISTER("softmax_backward", DType::f64, softmax_backward<double>);

}  // namespace
}  // namespace trn
