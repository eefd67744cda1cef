// Normalisation over rows and over channels, and the gradients.
//
// Statistics are kept in double and stored in the operand's type. Layer, RMS and group norm work
// on rows [rows, length]; batch norm on [outer, channels, inner] views of its input.
#include "blocks.h"
#include "math.h"

namespace trn {
namespace {

using TRN_ISA_NAMESPACE::convert_run;

// Element `index` of a dense or strided vector as double.
TRN_INLINE double get(const Operand& o, int64_t index) {
  double x;
  convert_run(&x, DType::f64, 1, o.as<char>() + index * dtype_size(o.dtype), o.dtype, 1, 1);
  return x;
}
TRN_INLINE void set(const Operand& o, int64_t index, double x) {
  convert_run(o.as<char>() + index * dtype_size(o.dtype), o.dtype, 1, &x, DType::f64, 1, 1);
}

// n elements at element offset `at`, dense, as A.
template <class A>
TRN_INLINE const A* load(const Operand& o, int64_t at, int64_t n, A* buffer) {
  char* from = o.as<char>() + at * dtype_size(o.dtype);
  if (o.dtype == DTypeOf<A>::value) return reinterpret_cast<A*>(from);
  convert_run(buffer, DTypeOf<A>::value, 1, from, o.dtype, 1, n);
  return buffer;
}
template <class A>
TRN_INLINE void store(const Operand& o, int64_t at, int64_t n, const A* x) {
  convert_run(o.as<char>() + at * dtype_size(o.dtype), o.dtype, 1, x, DTypeOf<A>::value, 1, n);
}

template <class A, class F>
TRN_INLINE double sum_of(int64_t n, F f) {
  constexpr int kLanes = 16;
  A lane[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int k = 0; k < kLanes; ++k) lane[k] += f(i + k);
  for (; i < n; ++i) lane[0] += f(i);
  double sum = 0;
  for (int k = 0; k < kLanes; ++k) sum += static_cast<double>(lane[k]);
  return sum;
}

template <class F>
TRN_INLINE void by_blocks(int64_t length, F f) {
  for (int64_t i = 0; i < length; i += kBlock) f(i, length - i < kBlock ? length - i : kBlock);
}

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

// Sums over a channel, in one pass of two means or of two products.
// operands: first, second [channels]; in [outer, channels, inner], grad (or absent), mean (or
// absent). Without grad: mean and variance (biased). With it: sum of grad, and of
// grad * (in - mean). One item is a channel; inner must be dense.
template <class A>
void channel_sums(const Call& call, const Range& range) {
  const Operand &first = call.operand[0], &second = call.operand[1], &in = call.operand[2],
                &grad = call.operand[3], &mean = call.operand[4];
  const int64_t outer = in.sizes[0], inner = in.sizes[2];
  A* x_buffer = reinterpret_cast<A*>(range.scratch);
  A* g_buffer = x_buffer + kBlock;
  const auto visit = [&](int64_t c, auto f) {
    for (int64_t o = 0; o < outer; ++o)
      by_blocks(inner, [&](int64_t i, int64_t n) {
        const int64_t at = o * in.strides[0] + c * in.strides[1] + i * in.strides[2];
        const A* x = x_buffer;
        if (in.strides[2] == 1)
          x = load(in, at, n, x_buffer);
        else
          convert_run(x_buffer, DTypeOf<A>::value, 1, in.as<char>() + at * dtype_size(in.dtype),
                      in.dtype, in.strides[2], n);
        const A* g = x;
        if (!grad.absent()) {
          convert_run(g_buffer, DTypeOf<A>::value, 1,
                      grad.as<char>() + (o * grad.strides[0] + c * grad.strides[1] +
                                         i * grad.strides[2]) * dtype_size(grad.dtype),
                      grad.dtype, grad.strides[2], n);
          g = g_buffer;
        }
        f(x, g, n);
      });
  };
  const double count = static_cast<double>(outer * inner);
  for (int64_t c = range.begin; c < range.end; ++c) {
    double a = 0, b = 0;
    if (grad.absent()) {
      visit(c, [&](const A* x, const A*, int64_t n) {
        a += sum_of<A>(n, [&](int64_t k) { return x[k]; });
      });
      a /= count;
      const A m = static_cast<A>(a);
      visit(c, [&](const A* x, const A*, int64_t n) {
        b += sum_of<A>(n, [&](int64_t k) { return (x[k] - m) * (x[k] - m); });
      });
      b /= count;
    } else {
      const A m = static_cast<A>(get(mean, c * mean.strides[0]));
      visit(c, [&](const A* x, const A* g, int64_t n) {
        a += sum_of<A>(n, [&](int64_t k) { return g[k]; });
        b += sum_of<A>(n, [&](int64_t k) { return g[k] * (x[k] - m); });
      });
    }
    set(first, c, a);
    set(second, c, b);
  }
}

#define TRN_NORM(name)                            \
  TRN_REGISTER(#name, DType::f32, name<float>);   \
  TRN_REGISTER(#name, DType::f64, name<double>);
TRN_NORM(row_norm) TRN_NORM(row_norm_backward) TRN_NORM(row_norm_weights) TRN_NORM(channel_sums)

}  // namespace
}  // namespace trn
