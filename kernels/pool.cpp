// Pooling over windows of any size and strides; pool_planes.cpp and pool_channels.cpp are faster
// for what they take. Items are planes (batch, channel), and a plane's additions have one order.
#include "blocks.h"
#include "math.h"
#include "pool_windows.h"

namespace trn {
namespace {

using TRN_ISA_NAMESPACE::convert_run;

template <class A>
TRN_INLINE A get(const Operand& o, int64_t offset) {
  if (o.dtype == DTypeOf<A>::value) return o.as<A>()[offset];
  A x;
  convert_run(&x, DTypeOf<A>::value, 1, o.as<char>() + offset * dtype_size(o.dtype), o.dtype, 1, 1);
  return x;
}
template <class A>
TRN_INLINE void set(const Operand& o, int64_t offset, A x) {
  convert_run(o.as<char>() + offset * dtype_size(o.dtype), o.dtype, 1, &x, DTypeOf<A>::value, 1, 1);
}

// Calls f(output offset, window d, h, w) for each output element of a plane.
template <class F>
TRN_INLINE void each_window(const Call& call, const Operand& out, const Operand& in, int64_t item,
                            F f) {
  const int64_t base = plane(out, item);
  for (int64_t d = 0; d < out.sizes[2]; ++d) {
    const Window wd = window_of(call, 0, d, out.sizes[2], in.sizes[2]);
    for (int64_t h = 0; h < out.sizes[3]; ++h) {
      const Window wh = window_of(call, 1, h, out.sizes[3], in.sizes[3]);
      for (int64_t w = 0; w < out.sizes[4]; ++w)
        f(base + d * out.strides[2] + h * out.strides[3] + w * out.strides[4], wd, wh,
          window_of(call, 2, w, out.sizes[4], in.sizes[4]),
          (d * out.sizes[3] + h) * out.sizes[4] + w);
    }
  }
}

// operands: out, indices (i64, strided like out), in. The index is the element's place in a plane.
template <class A>
void max_pool(const Call& call, const Range& range) {
  const Operand &out = call.operand[0], &indices = call.operand[1], &in = call.operand[2];
  for (int64_t item = range.begin; item < range.end; ++item) {
    const int64_t from = plane(in, item), shift = plane(indices, item) - plane(out, item);
    each_window(call, out, in, item, [&](int64_t to, Window d, Window h, Window w, int64_t) {
      A best = -infinity<A>();
      int64_t at = (d.begin * in.sizes[3] + h.begin) * in.sizes[4] + w.begin;
      for (int64_t z = d.begin; z < d.end; z += d.step)
        for (int64_t y = h.begin; y < h.end; y += h.step)
          for (int64_t x = w.begin; x < w.end; x += w.step) {
            const A v =
                get<A>(in, from + z * in.strides[2] + y * in.strides[3] + x * in.strides[4]);
            if (v > best || v != v) {
              best = v;
              at = (z * in.sizes[3] + y) * in.sizes[4] + x;
            }
          }
      set(out, to, best);
      indices.as<int64_t>()[to + shift] = at;
    });
  }
}

// operands: grad_input [.., d, h, w] dense, zeroed; grad, indices (one layout, dense).
template <class A>
void max_pool_backward(const Call& call, const Range& range) {
  const Operand &out = call.operand[0], &grad = call.operand[1], &indices = call.operand[2];
  const int64_t size = out.sizes[2] * out.sizes[3] * out.sizes[4];
  const int64_t n = grad.sizes[2] * grad.sizes[3] * grad.sizes[4];
  for (int64_t item = range.begin; item < range.end; ++item)
    for (int64_t i = 0; i < n; ++i)
      out.as<A>()[item * size + indices.as<int64_t>()[item * n + i]] += get<A>(grad, item * n + i);
}

template <class A>
TRN_INLINE A size_of(const Call& call, Window d, Window h, Window w) {
  return static_cast<A>(divisor(call) * counted(call, d) * counted(call, h) * counted(call, w));
}

// operands: out, in.
template <class A>
void avg_pool(const Call& call, const Range& range) {
  const Operand &out = call.operand[0], &in = call.operand[1];
  for (int64_t item = range.begin; item < range.end; ++item) {
    const int64_t from = plane(in, item);
    each_window(call, out, in, item, [&](int64_t to, Window d, Window h, Window w, int64_t) {
      A sum = 0;
      for (int64_t z = d.begin; z < d.end; ++z)
        for (int64_t y = h.begin; y < h.end; ++y)
          for (int64_t x = w.begin; x < w.end; ++x)
            sum += get<A>(in, from + z * in.strides[2] + y * in.strides[3] + x * in.strides[4]);
      set(out, to, static_cast<A>(sum / size_of<A>(call, d, h, w)));
    });
  }
}

// operands: grad_input dense and zeroed; grad [batch, channels, d, h, w].
template <class A>
void avg_pool_backward(const Call& call, const Range& range) {
  const Operand &out = call.operand[0], &grad = call.operand[1];
  const int64_t size = out.sizes[2] * out.sizes[3] * out.sizes[4];
  for (int64_t item = range.begin; item < range.end; ++item) {
    A* to = out.as<A>() + item * size;
    each_window(call, grad, out, item, [&](int64_t from, Window d, Window h, Window w, int64_t) {
      const A share = get<A>(grad, from) / size_of<A>(call, d, h, w);
      for (int64_t z = d.begin; z < d.end; ++z)
        for (int64_t y = h.begin; y < h.end; ++y)
          for (int64_t x = w.begin; x < w.end; ++x)
            to[(z * out.sizes[3] + y) * out.sizes[4] + x] += share;
    });
  }
}

TRN_REGISTER_REALS(max_pool);
TRN_REGISTER_REALS(max_pool_backward);
TRN_REGISTER_REALS(avg_pool);
TRN_REGISTER_REALS(avg_pool_backward);

}  // namespace
}  // namespace trn
