// Pooling where channels are neighbours in memory: registers of channels walk over windows.
//
// Operands and ints are those of pool.cpp, of one storage type and with channels dense; planes are
// smaller than 2^31. Items are rows of what is written, so gradients are gathered from the windows
// that hold a number rather than scattered to it, in the order of the windows.
#include <type_traits>

#include "math.h"
#include "pool_vectors.h"
#include "pool_windows.h"

namespace trn {
namespace {

template <int n>
using Count = std::integral_constant<int, n>;

// Calls f(registers, first channel, numbers in a register). The last register overlaps the one
// before it, which computes some channels twice.
template <int kEach, class F>
TRN_INLINE void by_channels(int64_t channels, F f) {
  int64_t c = 0;
  for (; c + 4 * kEach <= channels; c += 4 * kEach) f(Count<4>(), c, kEach);
  for (; c + kEach <= channels; c += kEach) f(Count<1>(), c, kEach);
  if (c == channels) return;
  if (channels > kEach) f(Count<1>(), channels - kEach, kEach);
  else f(Count<1>(), 0, channels);
}

// A row [.., d, h, ..] of planes.
struct Row {
  int64_t n, d, h;
  Row(const Operand& o, int64_t item)
      : n(item / o.sizes[3] / o.sizes[2]),
        d(item / o.sizes[3] % o.sizes[2]),
        h(item % o.sizes[3]) {}
  int64_t offset(const Operand& o) const {
    return n * o.strides[0] + d * o.strides[2] + h * o.strides[3];
  }
};

// Calls f(offset, place) for the numbers of a window.
template <class F>
TRN_INLINE void each_number(const Operand& in, Window d, Window h, Window w, F f) {
  for (int64_t z = d.begin; z < d.end; z += d.step)
    for (int64_t y = h.begin; y < h.end; y += h.step)
      for (int64_t x = w.begin; x < w.end; x += w.step)
        f(z * in.strides[2] + y * in.strides[3] + x * in.strides[4],
          (z * in.sizes[3] + y) * in.sizes[4] + x);
}

// operands: out, indices (i64), in. Items are rows of out.
template <class S>
void max_pool_channels(const Call& call, const Range& range) {
  using N = Numbers<S>;
  const Operand &out = call.operand[0], &indices = call.operand[1], &in = call.operand[2];
  for (int64_t item = range.begin; item < range.end; ++item) {
    const Row row(out, item);
    const Window d = window_of(call, 0, row.d, out.sizes[2], in.sizes[2]),
                 h = window_of(call, 1, row.h, out.sizes[3], in.sizes[3]);
    for (int64_t i = 0; i < out.sizes[4]; ++i) {
      const Window w = window_of(call, 2, i, out.sizes[4], in.sizes[4]);
      const int64_t first = (d.begin * in.sizes[3] + h.begin) * in.sizes[4] + w.begin;
      const S* from = in.as<S>() + row.n * in.strides[0];
      S* to = out.as<S>() + row.offset(out) + i * out.strides[4];
      int64_t* places = indices.as<int64_t>() + row.offset(indices) + i * indices.strides[4];
      by_channels<N::kEach>(
          in.sizes[1], [&](auto count, int64_t c, int64_t n) __attribute__((always_inline)) {
            constexpr int k = count;
            typename N::V best[k];
            typename N::P at[k];
#pragma GCC unroll 4
            for (int v = 0; v < k; ++v)
              best[v] = N::all(-infinity<typename N::A>()), at[v] = N::all_places(first);
            each_number(
                in, d, h, w, [&](int64_t offset, int64_t place) __attribute__((always_inline)) {
#pragma GCC unroll 4
                  for (int v = 0; v < k; ++v)
                    N::keep_larger(best[v], at[v], N::load(from + offset + c + v * N::kEach, n),
                                   N::all_places(place));
                });
#pragma GCC unroll 4
            for (int v = 0; v < k; ++v) {
              N::store(to + c + v * N::kEach, n, best[v]);
              N::store_places(places + c + v * N::kEach, n, at[v]);
            }
          });
    }
  }
}

// operands: out, in. Items are rows of out.
template <class S>
void avg_pool_channels(const Call& call, const Range& range) {
  using N = Numbers<S>;
  const Operand &out = call.operand[0], &in = call.operand[1];
  for (int64_t item = range.begin; item < range.end; ++item) {
    const Row row(out, item);
    const Window d = window_of(call, 0, row.d, out.sizes[2], in.sizes[2]),
                 h = window_of(call, 1, row.h, out.sizes[3], in.sizes[3]);
    const int64_t rows = divisor(call) * counted(call, d) * counted(call, h);
    for (int64_t i = 0; i < out.sizes[4]; ++i) {
      const Window w = window_of(call, 2, i, out.sizes[4], in.sizes[4]);
      const auto size = N::all(static_cast<typename N::A>(rows * counted(call, w)));
      const S* from = in.as<S>() + row.n * in.strides[0];
      S* to = out.as<S>() + row.offset(out) + i * out.strides[4];
      by_channels<N::kEach>(
          in.sizes[1], [&](auto count, int64_t c, int64_t n) __attribute__((always_inline)) {
            constexpr int k = count;
            typename N::V sum[k] = {};
            each_number(
                in, d, h, w, [&](int64_t offset, int64_t) __attribute__((always_inline)) {
#pragma GCC unroll 4
                  for (int v = 0; v < k; ++v)
                    sum[v] += N::load(from + offset + c + v * N::kEach, n);
                });
#pragma GCC unroll 4
            for (int v = 0; v < k; ++v) N::store(to + c + v * N::kEach, n, sum[v] / size);
          });
    }
  }
}

// A window of gradients.
struct Held {
  int64_t n, d, h, w;
  int64_t offset(const Operand& o) const {
    return n * o.strides[0] + d * o.strides[2] + h * o.strides[3] + w * o.strides[4];
  }
};

// Calls f(window) for the windows of `grad` that hold number (row.d, row.h, x) of `out`.
struct Holders {
  const Call& call;
  const Row& row;
  const Cover d, h;

  Holders(const Call& call, const Operand& out, const Operand& grad, const Row& row)
      : call(call),
        row(row),
        d(cover_of(call, 0, row.d, grad.sizes[2], out.sizes[2])),
        h(cover_of(call, 1, row.h, grad.sizes[3], out.sizes[3])) {}
  template <class F>
  TRN_INLINE void each(Cover w, int64_t x, F f) const {
    for (int64_t i = d.begin; i < d.end; ++i) {
      if (!holds(call, 0, i, row.d)) continue;
      for (int64_t j = h.begin; j < h.end; ++j) {
        if (!holds(call, 1, j, row.h)) continue;
        for (int64_t k = w.begin; k < w.end; ++k)
          if (holds(call, 2, k, x)) f(Held{row.n, i, j, k});
      }
    }
  }
};

// Rows of grad_input as sums over the windows that hold a number: add(registers, sums, the number's
// place, window, first channel, numbers in a register) adds what comes from one.
template <class S, class F>
TRN_INLINE void gather_channels(const Call& call, const Range& range, F add) {
  using N = Numbers<S>;
  const Operand &out = call.operand[0], &grad = call.operand[1];
  for (int64_t item = range.begin; item < range.end; ++item) {
    const Row row(out, item);
    const Holders holders(call, out, grad, row);
    for (int64_t x = 0; x < out.sizes[4]; ++x) {
      const Cover w = cover_of(call, 2, x, grad.sizes[4], out.sizes[4]);
      const int64_t place = (row.d * out.sizes[3] + row.h) * out.sizes[4] + x;
      S* to = out.as<S>() + row.offset(out) + x * out.strides[4];
      by_channels<N::kEach>(
          out.sizes[1], [&](auto count, int64_t c, int64_t n) __attribute__((always_inline)) {
            constexpr int many = count;
            typename N::V sum[many] = {};
            holders.each(
                w, x, [&](Held window) __attribute__((always_inline)) {
                  add(count, sum, place, window, c, n);
                });
#pragma GCC unroll 4
            for (int v = 0; v < many; ++v) N::store(to + c + v * N::kEach, n, sum[v]);
          });
    }
  }
}

// operands: grad_input, grad, indices. Items are rows of grad_input.
template <class S>
void max_pool_channels_backward(const Call& call, const Range& range) {
  using N = Numbers<S>;
  const Operand &grad = call.operand[1], &indices = call.operand[2];
  gather_channels<S>(
      call, range,
      [&](auto count, auto* sum, int64_t place, Held window, int64_t c, int64_t n)
          __attribute__((always_inline)) {
            const S* from = grad.as<S>() + window.offset(grad) + c;
            const int64_t* at = indices.as<int64_t>() + window.offset(indices) + c;
            const auto here = N::all_places(place);
#pragma GCC unroll 4
            for (int v = 0; v < count; ++v) {
              const auto more = sum[v] + N::load(from + v * N::kEach, n);
              sum[v] = N::load_places(at + v * N::kEach, n) == here ? more : sum[v];
            }
          });
}

// operands: grad_input, grad. Items are rows of grad_input.
template <class S>
void avg_pool_channels_backward(const Call& call, const Range& range) {
  using N = Numbers<S>;
  const Operand &out = call.operand[0], &grad = call.operand[1];
  const auto size = [&](int d, int64_t i) {
    return counted(call, window_of(call, d, i, grad.sizes[2 + d], out.sizes[2 + d]));
  };
  gather_channels<S>(
      call, range,
      [&](auto count, auto* sum, int64_t, Held window, int64_t c, int64_t n)
          __attribute__((always_inline)) {
            const S* from = grad.as<S>() + window.offset(grad) + c;
            const auto part = N::all(static_cast<typename N::A>(
                divisor(call) * size(0, window.d) * size(1, window.h) * size(2, window.w)));
#pragma GCC unroll 4
            for (int v = 0; v < count; ++v) sum[v] += N::load(from + v * N::kEach, n) / part;
          });
}

TRN_REGISTER_FLOATS(max_pool_channels, max_pool_channels);
TRN_REGISTER_FLOATS(avg_pool_channels, avg_pool_channels);
TRN_REGISTER_FLOATS(max_pool_channels_backward, max_pool_channels_backward);
TRN_REGISTER_FLOATS(avg_pool_channels_backward, avg_pool_channels_backward);

}  // namespace
}  // namespace trn
