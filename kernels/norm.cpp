// Normalisation over rows [rows, length]: layer, RMS and group norm, and their gradients.
//
// Statistics are kept in double and stored in the operand's type.
#include "norm_rows.h"

namespace trn {
namespace {

// A row, or a vector of a row's length, by blocks.
template <class A>
struct Blocks {
  const Operand& o;
  A* buffer;

  TRN_INLINE const A* load(int64_t at, int64_t n) const { return trn::load(o, at, n, buffer); }
  // What was loaded last, if that was all.
  TRN_INLINE const A* again(int64_t at, int64_t n, bool whole) const {
    return whole && o.dtype != DTypeOf<A>::value ? buffer : load(at, n);
  }
};

// Mean and reciprocal deviation of a dense row.
struct Moments {
  double mean, rstd;
};
template <class A>
TRN_INLINE Moments moments(const Blocks<A>& in, int64_t at, int64_t length, double eps,
                           bool centred) {
  double mean = 0, squares = 0;
  blocks_of(length, [&](int64_t i, int64_t n) {
    const A* x = in.load(at + i, n);
    if (centred) mean += sum_of<A>(n, [&](int64_t k) { return x[k]; });
  });
  mean /= static_cast<double>(length);
  const A m = static_cast<A>(mean);
  blocks_of(length, [&](int64_t i, int64_t n) {
    const A* x = in.again(at + i, n, n == length);
    squares += sum_of<A>(n, [&](int64_t k) { return (x[k] - m) * (x[k] - m); });
  });
  return {mean, 1 / __builtin_sqrt(squares / static_cast<double>(length) + eps)};
}

// operands: out [rows, length], mean [rows], rstd [rows]; in, weight, bias [length] or absent. All
// dense. ints[0]: 1 to subtract the mean. reals[0]: eps.
template <class A>
void row_norm(const Call& call, const Range& range) {
  const Operand &out = call.operand[0], &mean = call.operand[1], &rstd = call.operand[2];
  if constexpr (__is_same(A, float))
    if (call.operand[3].sizes[1] % kWide == 0 &&
        with_wide_type({&out, &call.operand[3], &call.operand[4], &call.operand[5]},
                       [&]<class S>(S) { row_norm_wide<S>(call, range); }))
      return;
  const int64_t length = call.operand[3].sizes[1], room = length <= kWhole ? length : kBlock;
  const bool centred = call.ints[0], whole = length <= kWhole;
  A* buffer = reinterpret_cast<A*>(range.scratch);
  const Blocks<A> in{call.operand[3], buffer}, weight{call.operand[4], buffer + room},
      bias{call.operand[5], buffer + 2 * room};
  bool first = true;
  for (int64_t row = range.begin; row < range.end; ++row) {
    const int64_t at = row * length;
    const Moments m = moments(in, at, length, call.reals[0], centred);
    if (!mean.absent()) set(mean, row, m.mean);
    if (!rstd.absent()) set(rstd, row, m.rstd);
    const A shift = static_cast<A>(m.mean), scale = static_cast<A>(m.rstd);
    blocks_of(length, [&](int64_t i, int64_t n) {
      const A* x = in.again(at + i, n, whole);
      const A* w = weight.o.absent() ? nullptr : weight.again(i, n, whole && !first);
      const A* b = bias.o.absent() ? nullptr : bias.again(i, n, whole && !first);
      A* y = place(out, at + i, buffer + 3 * room);
      if (w && b)
        for (int64_t k = 0; k < n; ++k) y[k] = (x[k] - shift) * scale * w[k] + b[k];
      else if (w)
        for (int64_t k = 0; k < n; ++k) y[k] = (x[k] - shift) * scale * w[k];
      else
        for (int64_t k = 0; k < n; ++k) y[k] = (x[k] - shift) * scale + (b ? b[k] : A(0));
      store(out, at + i, n, y);
    });
    first = false;
  }
}

// operands: grad_input [rows, length]; grad, in [rows, length], mean, rstd [rows], weight or
// absent. All dense. ints[0]: centred.
template <class A, bool kWeighted>
TRN_INLINE void row_gradients(const Call& call, const Range& range) {
  const Operand &out = call.operand[0], &mean = call.operand[3], &rstd = call.operand[4];
  const int64_t length = call.operand[2].sizes[1], room = length <= kWhole ? length : kBlock;
  const bool centred = call.ints[0], whole = length <= kWhole;
  A* buffer = reinterpret_cast<A*>(range.scratch);
  const Blocks<A> grad{call.operand[1], buffer}, in{call.operand[2], buffer + room},
      weight{call.operand[5], buffer + 2 * room};
  bool first = true;
  for (int64_t row = range.begin; row < range.end; ++row) {
    const int64_t at = row * length;
    const A shift = centred ? static_cast<A>(get(mean, row)) : A(0);
    const A scale = static_cast<A>(get(rstd, row));
    double sum_g = 0, sum_gx = 0;
    blocks_of(length, [&](int64_t i, int64_t n) {
      const A *g = grad.load(at + i, n), *x = in.load(at + i, n);
      const A* w = kWeighted ? weight.again(i, n, whole && !first) : nullptr;
      const auto term = [&](int64_t k) { return kWeighted ? g[k] * w[k] : g[k]; };
      if (centred) sum_g += sum_of<A>(n, term);
      sum_gx += sum_of<A>(n, [&](int64_t k) { return term(k) * (x[k] - shift) * scale; });
    });
    const A mean_g = static_cast<A>(sum_g / static_cast<double>(length));
    const A mean_gx = static_cast<A>(sum_gx / static_cast<double>(length));
    blocks_of(length, [&](int64_t i, int64_t n) {
      const A *g = grad.again(at + i, n, whole), *x = in.again(at + i, n, whole);
      const A* w = kWeighted ? weight.again(i, n, whole) : nullptr;
      A* y = place(out, at + i, buffer + 3 * room);
      for (int64_t k = 0; k < n; ++k) {
        const A gw = kWeighted ? g[k] * w[k] : g[k];
        y[k] = (gw - mean_g - (x[k] - shift) * scale * mean_gx) * scale;
      }
      store(out, at + i, n, y);
    });
    first = false;
  }
}
template <class A>
void row_norm_backward(const Call& call, const Range& range) {
  const Operand &out = call.operand[0], &grad = call.operand[1], &in = call.operand[2],
                &weight = call.operand[5];
  if constexpr (__is_same(A, float))
    if (in.sizes[1] % kWide == 0 && with_wide_type({&out, &grad, &in, &weight}, [&]<class S>(S) {
          weight.absent() ? row_norm_backward_wide<S, false>(call, range)
                          : row_norm_backward_wide<S, true>(call, range);
        }))
      return;
  if (weight.absent()) row_gradients<A, false>(call, range);
  else row_gradients<A, true>(call, range);
}

// Gradients of weight and bias: sums over rows of grad * normalised and of grad, a part of the rows
// an item; channel_totals adds the parts. And the input's, row_norm_backward's, where rows are
// still in the first-level cache.
// operands: sums [parts, 2, length], double; grad_input [rows, length] or absent; grad, in [rows,
// length], mean, rstd [rows], weight or absent. ints[0]: centred.
template <class A>
void row_norm_gradients(const Call& all, const Range& range) {
  // row_norm_backward's operands are those after the first.
  Call call = all;
  for (int i = 0; i + 1 < all.noperands; ++i) call.operand[i] = all.operand[i + 1];
  const Operand &grad = call.operand[1], &in = call.operand[2], &mean = call.operand[3],
                &rstd = call.operand[4];
  const int64_t rows = in.sizes[0], length = in.sizes[1], parts = all.operand[0].sizes[0];
  const int64_t size = (rows + parts - 1) / parts;
  const bool centred = call.ints[0];
  const bool joint = length <= kWhole && !call.operand[0].absent();
  const int64_t room = length <= kWhole ? length : kBlock;
  A *x_buffer = reinterpret_cast<A*>(range.scratch), *g_buffer = x_buffer + room,
    *w = g_buffer + room, *b = w + room;
  const auto input_gradient = [&](int64_t row, int64_t count) {
    if (call.operand[0].absent()) return;
    row_norm_backward<A>(call, {row, row + count, reinterpret_cast<char*>(b + room), range.fault});
  };
  for (int64_t item = range.begin; item < range.end; ++item) {
    double* sums = all.operand[0].as<double>() + item * 2 * length;
    const int64_t begin = item * size, end = begin + size < rows ? begin + size : rows;
    for (int64_t k = 0; k < 2 * length; ++k) sums[k] = 0;
    if constexpr (__is_same(A, float))
      if (length % kWide == 0 && with_wide_type({&grad, &in}, [&]<class S>(S) {
            if (joint) return add_weight_sums<S>(call, begin, end, sums, w, b, input_gradient);
            input_gradient(begin, end - begin);
            add_weight_sums<S>(call, begin, end, sums, w, b, nullptr);
          }))
        continue;
    input_gradient(begin, end - begin);
    by_blocks(length, [&](int64_t i, int64_t n) {
      for (int64_t k = 0; k < n; ++k) w[k] = b[k] = 0;
      for (int64_t row = begin; row < end; ++row) {
        const A* g = load(grad, row * length + i, n, g_buffer);
        const A* x = load(in, row * length + i, n, x_buffer);
        const A shift = centred ? static_cast<A>(get(mean, row)) : A(0);
        const A scale = static_cast<A>(get(rstd, row));
        for (int64_t k = 0; k < n; ++k) {
          w[k] += g[k] * ((x[k] - shift) * scale);
          b[k] += g[k];
        }
        // Sums of A are of at most 64 terms.
        if ((row - begin) % 64 != 63 && row + 1 != end) continue;
        for (int64_t k = 0; k < n; ++k) {
          sums[i + k] += static_cast<double>(w[k]),
              sums[length + i + k] += static_cast<double>(b[k]);
          w[k] = b[k] = 0;
        }
      }
    });
  }
}

TRN_REGISTER_REALS(row_norm);
TRN_REGISTER_REALS(row_norm_backward);
TRN_REGISTER_REALS(row_norm_gradients);

}  // namespace
}  // namespace trn
