// The point-wise half of LSTM and GRU cells. All operands are dense.
#include "blocks.h"
#include "math.h"

namespace trn {
namespace {

using TRN_ISA_NAMESPACE::convert_run;

template <class A>
TRN_INLINE A get(const Operand& o, int64_t i) {
  if (o.absent()) return A(0);
  if (o.dtype == DTypeOf<A>::value) return o.as<A>()[i];
  A x;
  convert_run(&x, DTypeOf<A>::value, 1, o.as<char>() + i * dtype_size(o.dtype), o.dtype, 1, 1);
  return x;
}
template <class A>
TRN_INLINE void set(const Operand& o, int64_t i, A x) {
  if (o.absent()) return;
  convert_run(o.as<char>() + i * dtype_size(o.dtype), o.dtype, 1, &x, DTypeOf<A>::value, 1, 1);
}

// operands: hy, cy [batch, h], gates [batch, 4h] (activated: i, f, g, o); input and hidden gates
// [batch, 4h], cx [batch, h], input and hidden bias [4h] or absent. Items are batch rows.
template <class A>
void lstm_cell(const Call& call, const Range& range) {
  const int64_t h = call.operand[0].sizes[1];
  for (int64_t b = range.begin; b < range.end; ++b)
    for (int64_t j = 0; j < h; ++j) {
      A gate[4];
      for (int g = 0; g < 4; ++g) {
        const int64_t k = g * h + j, at = b * 4 * h + k;
        const A x = get<A>(call.operand[3], at) + get<A>(call.operand[4], at) +
                    get<A>(call.operand[6], k) + get<A>(call.operand[7], k);
        gate[g] = g == 2 ? m_tanh(x) : m_sigmoid(x);
        set(call.operand[2], at, gate[g]);
      }
      const A cy = gate[1] * get<A>(call.operand[5], b * h + j) + gate[0] * gate[2];
      set(call.operand[1], b * h + j, cy);
      set(call.operand[0], b * h + j, gate[3] * m_tanh(cy));
    }
}

// operands: grad_gates [batch, 4h], grad_cx [batch, h]; grad_hy, grad_cy (or absent), cx, cy
// [batch, h], gates [batch, 4h].
template <class A>
void lstm_cell_backward(const Call& call, const Range& range) {
  const int64_t h = call.operand[1].sizes[1];
  for (int64_t b = range.begin; b < range.end; ++b)
    for (int64_t j = 0; j < h; ++j) {
      const int64_t at = b * h + j, base = b * 4 * h + j;
      const A i = get<A>(call.operand[6], base), f = get<A>(call.operand[6], base + h),
              g = get<A>(call.operand[6], base + 2 * h), o = get<A>(call.operand[6], base + 3 * h);
      const A ghy = get<A>(call.operand[2], at), t = m_tanh(get<A>(call.operand[5], at));
      const A gc = ghy * o * (A(1) - t * t) + get<A>(call.operand[3], at);
      set(call.operand[0], base, gc * g * i * (A(1) - i));
      set(call.operand[0], base + h, gc * get<A>(call.operand[4], at) * f * (A(1) - f));
      set(call.operand[0], base + 2 * h, gc * i * (A(1) - g * g));
      set(call.operand[0], base + 3 * h, ghy * t * o * (A(1) - o));
      set(call.operand[1], at, gc * f);
    }
}

// operands: hy [batch, h], workspace [batch, 5h] (r, z, n, hx, hidden n); input and hidden gates
// [batch, 3h] (r, z, n), hx [batch, h], input and hidden bias [3h] or absent.
template <class A>
void gru_cell(const Call& call, const Range& range) {
  const int64_t h = call.operand[0].sizes[1];
  const Operand &in = call.operand[2], &hidden = call.operand[3], &bi = call.operand[5],
                &bh = call.operand[6];
  for (int64_t b = range.begin; b < range.end; ++b)
    for (int64_t j = 0; j < h; ++j) {
      const int64_t at = b * 3 * h + j;
      const A r = m_sigmoid(get<A>(in, at) + get<A>(hidden, at) + get<A>(bi, j) + get<A>(bh, j));
      const A z = m_sigmoid(get<A>(in, at + h) + get<A>(hidden, at + h) + get<A>(bi, j + h) +
                            get<A>(bh, j + h));
      const A hn = get<A>(hidden, at + 2 * h) + get<A>(bh, j + 2 * h);
      const A n = m_tanh(get<A>(in, at + 2 * h) + get<A>(bi, j + 2 * h) + r * hn);
      const A hx = get<A>(call.operand[4], b * h + j);
      const int64_t w = b * 5 * h + j;
      set(call.operand[1], w, r);
      set(call.operand[1], w + h, z);
      set(call.operand[1], w + 2 * h, n);
      set(call.operand[1], w + 3 * h, hx);
      set(call.operand[1], w + 4 * h, hn);
      set(call.operand[0], b * h + j, n + z * (hx - n));
    }
}

// operands: grad_input_gates, grad_hidden_gates [batch, 3h], grad_hx [batch, h]; grad_hy
// [batch, h], workspace [batch, 5h].
template <class A>
void gru_cell_backward(const Call& call, const Range& range) {
  const int64_t h = call.operand[2].sizes[1];
  const Operand& space = call.operand[4];
  for (int64_t b = range.begin; b < range.end; ++b)
    for (int64_t j = 0; j < h; ++j) {
      const int64_t w = b * 5 * h + j, at = b * 3 * h + j;
      const A r = get<A>(space, w), z = get<A>(space, w + h), n = get<A>(space, w + 2 * h),
              hx = get<A>(space, w + 3 * h), hn = get<A>(space, w + 4 * h);
      const A g = get<A>(call.operand[3], b * h + j);
      const A gz = g * (hx - n) * z * (A(1) - z);
      const A gn = g * (A(1) - z) * (A(1) - n * n);
      const A gr = gn * hn * r * (A(1) - r);
      set(call.operand[0], at, gr);
      set(call.operand[0], at + h, gz);
      set(call.operand[0], at + 2 * h, gn);
      set(call.operand[1], at, gr);
      set(call.operand[1], at + h, gz);
      set(call.operand[1], at + 2 * h, gn * r);
      set(call.operand[2], b * h + j, g * z);
    }
}

#define TRN_CELL(name)                            \
  TRN_REGISTER(#name, DType::f32, name<float>);   \
  TRN_REGISTER(#name, DType::f64, name<double>);
TRN_CELL(lstm_cell) TRN_CELL(lstm_cell_backward) TRN_CELL(gru_cell) TRN_CELL(gru_cell_backward)

}  // namespace
}  // namespace trn
