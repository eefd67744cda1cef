// Normalisation over rows [rows, length]: layer, RMS and group norm, and their gradients.
//
// Statistics are kept in double and stored in the operand's type.
#include "rows.h"

namespace trn {
namespace {

// Mean and reciprocal deviation of a dense row.
struct Moments {
  double mean, rstd;
};
template <class A>
TRN_INLINE Moments moments(const Operand& o, int64_t at, int64_t length, double eps, bool centred,
                           A* buffer) {
  double mean = 0, squares = 0;
  if (centred) {
    by_blocks(length, [&](int64_t i, int64_t n) {
      const A* x = load(o, at + i, n, buffer);
      mean += sum_of<A>(n, [&](int64_t k) { return x[k]; });
    });
    mean /= static_cast<double>(length);
  }
  const A m = static_cast<A>(mean);
  by_blocks(length, [&](int64_t i, int64_t n) {
    const A* x = load(o, at + i, n, buffer);
    squares += sum_of<A>(n, [&](int64_t k) { return (x[k] - m) * (x[k] - m); });
  });
  return {mean, 1 / __builtin_sqrt(squares / static_cast<double>(length) + eps)};
}

// operands: out [rows, length], mean [rows], rstd [rows]; in, weight, bias [length] or absent. All
// dense. ints[0]: 1 to subtract the mean. reals[0]: eps.
template <class A>
void row_norm(const Call& call, const Range& range) {
  const Operand &out = call.operand[0], &mean = call.operand[1], &rstd = call.operand[2],
                &in = call.operand[3], &weight = call.operand[4], &bias = call.operand[5];
  const int64_t length = in.sizes[1];
  const bool centred = call.ints[0];
  A* x_buffer = reinterpret_cast<A*>(range.scratch);
  A* w_buffer = x_buffer + kBlock;
  A* b_buffer = w_buffer + kBlock;
  A* y = b_buffer + kBlock;
  for (int64_t row = range.begin; row < range.end; ++row) {
    const int64_t at = row * length;
    const Moments m = moments<A>(in, at, length, call.reals[0], centred, x_buffer);
    if (!mean.absent()) set(mean, row, m.mean);
    if (!rstd.absent()) set(rstd, row, m.rstd);
    const A shift = static_cast<A>(m.mean), scale = static_cast<A>(m.rstd);
    by_blocks(length, [&](int64_t i, int64_t n) {
      const A* x = load(in, at + i, n, x_buffer);
      for (int64_t k = 0; k < n; ++k) y[k] = (x[k] - shift) * scale;
      if (!weight.absent()) {
        const A* w = load(weight, i, n, w_buffer);
        for (int64_t k = 0; k < n; ++k) y[k] *= w[k];
      }
      if (!bias.absent()) {
        const A* b = load(bias, i, n, b_buffer);
        for (int64_t k = 0; k < n; ++k) y[k] += b[k];
      }
      store(out, at + i, n, y);
    });
  }
}

// operands: grad_input [rows, length]; grad, in [rows, length], mean, rstd [rows], weight or
// absent. All dense. ints[0]: centred.
template <class A>
void row_norm_backward(const Call& call, const Range& range) {
  const Operand &out = call.operand[0], &grad = call.operand[1], &in = call.operand[2],
                &mean = call.operand[3], &rstd = call.operand[4], &weight = call.operand[5];
  const int64_t length = in.sizes[1];
  const bool centred = call.ints[0];
  A* x_buffer = reinterpret_cast<A*>(range.scratch);
  A* g_buffer = x_buffer + kBlock;
  A* w_buffer = g_buffer + kBlock;
  A* y = w_buffer + kBlock;
  for (int64_t row = range.begin; row < range.end; ++row) {
    const int64_t at = row * length;
    const A shift = centred ? static_cast<A>(get(mean, row)) : A(0);
    const A scale = static_cast<A>(get(rstd, row));
    double sum_g = 0, sum_gx = 0;
    const auto weighted = [&](int64_t i, int64_t n) {
      const A* g = load(grad, at + i, n, g_buffer);
      if (weight.absent()) return g;
      const A* w = load(weight, i, n, w_buffer);
      for (int64_t k = 0; k < n; ++k) y[k] = g[k] * w[k];
      return static_cast<const A*>(y);
    };
    by_blocks(length, [&](int64_t i, int64_t n) {
      const A* g = weighted(i, n);
      const A* x = load(in, at + i, n, x_buffer);
      if (centred) sum_g += sum_of<A>(n, [&](int64_t k) { return g[k]; });
      sum_gx += sum_of<A>(n, [&](int64_t k) { return g[k] * (x[k] - shift) * scale; });
    });
    const A mean_g = static_cast<A>(sum_g / static_cast<double>(length));
    const A mean_gx = static_cast<A>(sum_gx / static_cast<double>(length));
    by_blocks(length, [&](int64_t i, int64_t n) {
      const A* g = weighted(i, n);
      const A* x = load(in, at + i, n, x_buffer);
      for (int64_t k = 0; k < n; ++k)
        y[k] = (g[k] - mean_g - (x[k] - shift) * scale * mean_gx) * scale;
      store(out, at + i, n, y);
    });
  }
}

// Gradients of weight and bias: sums over rows of grad * normalised and of grad.
// operands: grad_weight, grad_bias [length] or absent; grad, in [rows, length], mean, rstd [rows].
// One item is a strip of kBlock columns; rows are taken in order. ints[0]: centred.
template <class A>
void row_norm_weights(const Call& call, const Range& range) {
  const Operand &gw = call.operand[0], &gb = call.operand[1], &grad = call.operand[2],
                &in = call.operand[3], &mean = call.operand[4], &rstd = call.operand[5];
  const int64_t rows = in.sizes[0], length = in.sizes[1];
  const bool centred = call.ints[0];
  A* x_buffer = reinterpret_cast<A*>(range.scratch);
  A* g_buffer = x_buffer + kBlock;
  double* w = reinterpret_cast<double*>(g_buffer + kBlock);
  double* b = w + kBlock;
  for (int64_t item = range.begin; item < range.end; ++item) {
    const int64_t i = item * kBlock, n = length - i < kBlock ? length - i : kBlock;
    for (int64_t k = 0; k < n; ++k) w[k] = b[k] = 0;
    for (int64_t row = 0; row < rows; ++row) {
      const A* g = load(grad, row * length + i, n, g_buffer);
      const A* x = load(in, row * length + i, n, x_buffer);
      const A shift = centred ? static_cast<A>(get(mean, row)) : A(0);
      const A scale = static_cast<A>(get(rstd, row));
      for (int64_t k = 0; k < n; ++k) {
        w[k] += static_cast<double>(g[k] * ((x[k] - shift) * scale));
        b[k] += static_cast<double>(g[k]);
      }
    }
    if (!gw.absent()) store(gw, i, n, w);
    if (!gb.absent()) store(gb, i, n, b);
  }
}

#define TRN_NORM(name)                            \
  TRN_REGISTER(#name, DType::f32, name<float>);   \
  TRN_REGISTER(#name, DType::f64, name<double>);
TRN_NORM(row_norm) TRN_NORM(row_norm_backward) TRN_NORM(row_norm_weights)

}  // namespace
}  // namespace trn
