// The point-wise half of LSTM and GRU cells. Operands are dense, but for the distance of rows of
// gates; items are rows of the batch.
#include "math.h"
#include "rows.h"

namespace trn {
namespace {

// Gates lie one after the other in a row of [batch, gates * h]. A block is at most kBlock of a
// gate's elements.
template <class F>
TRN_INLINE void for_blocks(const Range& range, int64_t h, F f) {
  for (int64_t b = range.begin; b < range.end; ++b)
    by_blocks(h, [&](int64_t j, int64_t n) { f(b, j, n); });
}

template <class A>
TRN_INLINE void add(A* x, const Operand& o, int64_t at, int64_t n, A* buffer) {
  if (o.absent()) return;
  const A* y = load(o, at, n, buffer);
  for (int64_t k = 0; k < n; ++k) x[k] += y[k];
}
template <class A>
TRN_INLINE const A* load_or_zero(const Operand& o, int64_t at, int64_t n, A* buffer) {
  if (!o.absent()) return load(o, at, n, buffer);
  for (int64_t k = 0; k < n; ++k) buffer[k] = 0;
  return buffer;
}

// operands: hy, cy [batch, h], gates [batch, 4h] (activated: i, f, g, o); input and hidden gates
// [batch, 4h], cx [batch, h], input and hidden bias [4h] or absent.
template <class A>
void lstm_cell(const Call& call, const Range& range) {
  const Operand* o = call.operand;
  const int64_t h = o[0].sizes[1];
  A* buffer = reinterpret_cast<A*>(range.scratch);
  for_blocks(range, h, [&](int64_t b, int64_t j, int64_t n) {
    A *gate[4], *spare = buffer + 7 * kBlock;
    for (int g = 0; g < 4; ++g) {
      const int64_t k = g * h + j;
      const auto at = [&](int i) { return b * o[i].strides[0] + k; };
      A* x = gate[g] = buffer + (g + 1) * kBlock;
      const A *in = load_or_zero(o[3], at(3), n, spare),
              *hidden = load_or_zero(o[4], at(4), n, spare + kBlock),
              *bias = load_or_zero(o[6], k, n, spare + 2 * kBlock),
              *more = load_or_zero(o[7], k, n, spare + 3 * kBlock);
      const auto sum = [&](int64_t e) { return (in[e] + hidden[e]) + (bias[e] + more[e]); };
      if (g == 2)
        for (int64_t e = 0; e < n; ++e) x[e] = m_tanh(sum(e));
      else
        for (int64_t e = 0; e < n; ++e) x[e] = m_sigmoid(sum(e));
      if (!o[2].absent()) store(o[2], at(2), n, x);
    }
    const int64_t at = b * h + j;
    const A* cx = load(o[5], at, n, buffer);
    A *cy = buffer + 5 * kBlock, *hy = cy + kBlock;
    for (int64_t e = 0; e < n; ++e) cy[e] = gate[1][e] * cx[e] + gate[0][e] * gate[2][e];
    for (int64_t e = 0; e < n; ++e) hy[e] = gate[3][e] * m_tanh(cy[e]);
    store(o[1], at, n, cy);
    store(o[0], at, n, hy);
  });
}

// operands: grad_gates [batch, 4h], grad_cx [batch, h]; grad_hy, grad_cy (or absent), cx, cy
// [batch, h], gates [batch, 4h]; more of grad_hy [batch, h] or absent.
template <class A>
void lstm_cell_backward(const Call& call, const Range& range) {
  const Operand* o = call.operand;
  const int64_t h = o[1].sizes[1];
  A *in = reinterpret_cast<A*>(range.scratch), *out = in + 8 * kBlock;
  for_blocks(range, h, [&](int64_t b, int64_t j, int64_t n) {
    const int64_t at = b * h + j, base = b * o[6].strides[0] + j, to = b * o[0].strides[0] + j;
    const A *i = load(o[6], base, n, in), *f = load(o[6], base + h, n, in + kBlock),
            *g = load(o[6], base + 2 * h, n, in + 2 * kBlock),
            *s = load(o[6], base + 3 * h, n, in + 3 * kBlock);
    const A *ghy = load_or_zero(o[2], at, n, in + 4 * kBlock),
            *gcy = load_or_zero(o[3], at, n, in + 5 * kBlock);
    const A *cx = load(o[4], at, n, in + 6 * kBlock), *cy = load(o[5], at, n, in + 7 * kBlock);
    A *gc = out, *t = gc + kBlock, *x = t + kBlock, *sum = x + kBlock;
    if (!o[7].absent()) {
      const A* more = load(o[7], at, n, sum + kBlock);
      for (int64_t e = 0; e < n; ++e) sum[e] = ghy[e] + more[e];
      ghy = sum;
    }
    for (int64_t e = 0; e < n; ++e) t[e] = m_tanh(cy[e]);
    for (int64_t e = 0; e < n; ++e) gc[e] = ghy[e] * s[e] * (A(1) - t[e] * t[e]) + gcy[e];
    for (int64_t e = 0; e < n; ++e) x[e] = gc[e] * g[e] * i[e] * (A(1) - i[e]);
    store(o[0], to, n, x);
    for (int64_t e = 0; e < n; ++e) x[e] = gc[e] * cx[e] * f[e] * (A(1) - f[e]);
    store(o[0], to + h, n, x);
    for (int64_t e = 0; e < n; ++e) x[e] = gc[e] * i[e] * (A(1) - g[e] * g[e]);
    store(o[0], to + 2 * h, n, x);
    for (int64_t e = 0; e < n; ++e) x[e] = ghy[e] * t[e] * s[e] * (A(1) - s[e]);
    store(o[0], to + 3 * h, n, x);
    for (int64_t e = 0; e < n; ++e) x[e] = gc[e] * f[e];
    store(o[1], at, n, x);
  });
}

// operands: hy [batch, h], workspace [batch, 5h] (r, z, n, hx, hidden n); input and hidden gates
// [batch, 3h] (r, z, n), hx [batch, h], input and hidden bias [3h] or absent.
template <class A>
void gru_cell(const Call& call, const Range& range) {
  const Operand* o = call.operand;
  const int64_t h = o[0].sizes[1];
  A *buffer = reinterpret_cast<A*>(range.scratch), *r = buffer + kBlock, *z = r + kBlock,
    *m = z + kBlock, *hidden = m + kBlock, *hy = hidden + kBlock, *hx_buffer = hy + kBlock;
  for_blocks(range, h, [&](int64_t b, int64_t j, int64_t n) {
    const int64_t w = b * 5 * h + j;
    const auto sum = [&](A* x, int64_t gate, bool from_input, bool from_hidden) {
      const int64_t k = gate * h + j;
      for (int64_t e = 0; e < n; ++e) x[e] = 0;
      if (from_input) add(x, o[2], b * o[2].strides[0] + k, n, buffer), add(x, o[5], k, n, buffer);
      if (from_hidden) add(x, o[3], b * o[3].strides[0] + k, n, buffer), add(x, o[6], k, n, buffer);
    };
    sum(r, 0, true, true), sum(z, 1, true, true), sum(m, 2, true, false);
    sum(hidden, 2, false, true);
    const A* hx = load(o[4], b * h + j, n, hx_buffer);
    for (int64_t e = 0; e < n; ++e) r[e] = m_sigmoid(r[e]), z[e] = m_sigmoid(z[e]);
    for (int64_t e = 0; e < n; ++e) m[e] = m_tanh(m[e] + r[e] * hidden[e]);
    for (int64_t e = 0; e < n; ++e) hy[e] = m[e] + z[e] * (hx[e] - m[e]);
    store(o[0], b * h + j, n, hy);
    if (o[1].absent()) return;
    const A* const kept[] = {r, z, m, hx, hidden};
    for (int64_t k = 0; k < 5; ++k) store(o[1], w + k * h, n, kept[k]);
  });
}

// operands: grad_input_gates, grad_hidden_gates [batch, 3h], grad_hx [batch, h]; grad_hy
// [batch, h], workspace [batch, 5h]; two more of grad_hy or absent, of which the last may be
// grad_hx.
template <class A>
void gru_cell_backward(const Call& call, const Range& range) {
  const Operand* o = call.operand;
  const int64_t h = o[2].sizes[1];
  A *in = reinterpret_cast<A*>(range.scratch), *out = in + 6 * kBlock;
  for_blocks(range, h, [&](int64_t b, int64_t j, int64_t n) {
    const A* kept[5];
    for (int64_t k = 0; k < 5; ++k) kept[k] = load(o[4], (b * 5 + k) * h + j, n, in + k * kBlock);
    const A *r = kept[0], *z = kept[1], *m = kept[2], *hx = kept[3], *hidden = kept[4];
    A *gr = out, *gz = gr + kBlock, *gm = gz + kBlock, *x = gm + kBlock, *g = x + kBlock;
    for (int64_t e = 0; e < n; ++e) g[e] = 0;
    for (int i : {3, 5, 6}) add(g, o[i], b * h + j, n, x);
    for (int64_t e = 0; e < n; ++e) gz[e] = g[e] * (hx[e] - m[e]) * z[e] * (A(1) - z[e]);
    for (int64_t e = 0; e < n; ++e) gm[e] = g[e] * (A(1) - z[e]) * (A(1) - m[e] * m[e]);
    for (int64_t e = 0; e < n; ++e) gr[e] = gm[e] * hidden[e] * r[e] * (A(1) - r[e]);
    const auto put = [&](int side, int64_t gate, const A* from) {
      store(o[side], b * o[side].strides[0] + gate * h + j, n, from);
    };
    for (int side = 0; side < 2; ++side) put(side, 0, gr), put(side, 1, gz);
    put(0, 2, gm);
    for (int64_t e = 0; e < n; ++e) x[e] = gm[e] * r[e];
    put(1, 2, x);
    for (int64_t e = 0; e < n; ++e) x[e] = g[e] * z[e];
    store(o[2], b * h + j, n, x);
  });
}

TRN_REGISTER_REALS(lstm_cell);
TRN_REGISTER_REALS(lstm_cell_backward);
TRN_REGISTER_REALS(gru_cell);
TRN_REGISTER_REALS(gru_cell_backward);

}  // namespace
}  // namespace trn
