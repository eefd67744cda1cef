// Sums by channel and one scale and shift a channel: what batch normalisation does in its passes
// over memory.
//
// Tensors are [outer, channels, inner], dense and all of one layout: planes, or channels last,
// which are rows of channels.
#include "rows.h"

namespace trn {
namespace {

struct Layout {
  int64_t channels, inner, rows;
  bool last;
  Layout(const Operand& o, bool last)
      : channels(o.sizes[1]), inner(o.sizes[2]), rows(o.sizes[0] * o.sizes[2]), last(last) {}
};

// Rows are taken so many elements at a time, whole rows if they are that short.
constexpr int64_t kChunk = 2048, kGroup = 64;
TRN_INLINE int64_t rows_of_chunk(int64_t channels) {
  return channels > kChunk ? 1 : kChunk / channels;
}

// Adds to a[c] and b[c] the sums over rows [begin, end) of d and d * e; see channel_sums.
template <class A>
TRN_INLINE void add_rows(const Operand& in, const Operand& grad, int64_t channels, int64_t begin,
                         int64_t end, const A* pivot, double* a, double* b, A* buffer) {
  A *sums = buffer + 2 * kChunk, *dots = sums + kChunk;
  const int64_t chunk = rows_of_chunk(channels) < kGroup ? rows_of_chunk(channels) : kGroup;
  for (int64_t from = 0; from < channels; from += kChunk) {
    const int64_t n = channels - from < kChunk ? channels - from : kChunk;
    const A* p = pivot + from;
    // Short sums in A, of at most kGroup terms and a chunk, before they go to double.
    for (int64_t c = 0; c < n; ++c) sums[c] = dots[c] = 0;
    for (int64_t row = begin, terms = 0; row < end; row += chunk) {
      const int64_t rows = row + chunk < end ? chunk : end - row;
      const A* x = load(in, row * channels + from, rows * n, buffer);
      const A* g = grad.absent() ? x : load(grad, row * channels + from, rows * n, buffer + kChunk);
      for (int64_t r = 0; r < rows; ++r, x += n, g += n)
        if (grad.absent())
          for (int64_t c = 0; c < n; ++c) {
            const A d = x[c] - p[c];
            sums[c] += d, dots[c] += d * d;
          }
        else
          for (int64_t c = 0; c < n; ++c) sums[c] += g[c], dots[c] += g[c] * (x[c] - p[c]);
      if ((terms += rows) < kGroup && row + rows < end) continue;
      terms = 0;
      for (int64_t c = 0; c < n; ++c) {
        a[from + c] += static_cast<double>(sums[c]), b[from + c] += static_cast<double>(dots[c]);
        sums[c] = dots[c] = 0;
      }
    }
  }
}

// Sums of d and d * e by channel, d being in - pivot, and e too; or, with grad, d being grad and e
// being in - pivot.
// operands: sums [parts, 2, channels], double; in; grad or absent; pivot [channels] of A's type.
// Items are parts of the rows if ints[0] (channels last), else channels, and there is one part.
template <class A>
void channel_sums(const Call& call, const Range& range) {
  const Operand &out = call.operand[0], &in = call.operand[1], &grad = call.operand[2];
  const Layout l(in, call.ints[0]);
  const A* pivot = call.operand[3].as<A>();
  double* sums = out.as<double>();
  A* buffer = reinterpret_cast<A*>(range.scratch);
  for (int64_t item = range.begin; item < range.end; ++item) {
    if (l.last) {
      const int64_t parts = out.sizes[0], size = (l.rows + parts - 1) / parts;
      const int64_t begin = item * size, end = begin + size < l.rows ? begin + size : l.rows;
      double* a = sums + item * 2 * l.channels;
      for (int64_t c = 0; c < 2 * l.channels; ++c) a[c] = 0;
      add_rows(in, grad, l.channels, begin, end, pivot, a, a + l.channels, buffer);
      continue;
    }
    double a = 0, b = 0;
    const A p = pivot[item];
    for (int64_t o = 0; o < in.sizes[0]; ++o)
      by_blocks(l.inner, [&](int64_t i, int64_t n) {
        const int64_t at = (o * l.channels + item) * l.inner + i;
        const A* x = load(in, at, n, buffer);
        if (grad.absent()) {
          a += sum_of<A>(n, [&](int64_t k) { return x[k] - p; });
          b += sum_of<A>(n, [&](int64_t k) { return (x[k] - p) * (x[k] - p); });
        } else {
          const A* g = load(grad, at, n, buffer + kChunk);
          a += sum_of<A>(n, [&](int64_t k) { return g[k]; });
          b += sum_of<A>(n, [&](int64_t k) { return g[k] * (x[k] - p); });
        }
      });
    sums[item] = a;
    sums[l.channels + item] = b;
  }
}

// The parts' sums together. operands: first, second [channels], dense, any type, or absent; sums;
// pivot of A's type, or absent if ints[0] is 0. ints[0]: elements of a channel to make them mean
// and biased variance; 0 to leave them as sums.
template <class A>
void channel_totals(const Call& call, const Range& range) {
  const Operand &in = call.operand[2], &first = call.operand[0], &second = call.operand[1];
  const int64_t channels = in.sizes[2];
  const double count = static_cast<double>(call.ints[0]);
  double *a = reinterpret_cast<double*>(range.scratch), *b = a + kBlock;
  for (int64_t c = range.begin; c < range.end; c += kBlock) {
    const int64_t n = range.end - c < kBlock ? range.end - c : kBlock;
    for (int64_t k = 0; k < n; ++k) a[k] = b[k] = 0;
    for (int64_t part = 0; part < in.sizes[0]; ++part) {
      const double* sums = in.as<double>() + part * 2 * channels + c;
      for (int64_t k = 0; k < n; ++k) a[k] += sums[k], b[k] += sums[channels + k];
    }
    if (call.ints[0])
      for (int64_t k = 0; k < n; ++k) {
        const double mean = a[k] / count, variance = b[k] / count - mean * mean;
        a[k] = mean + static_cast<double>(call.operand[3].as<A>()[c + k]);
        b[k] = variance < 0 ? 0 : variance;
      }
    if (!first.absent()) store(first, c, n, a);
    if (!second.absent()) store(second, c, n, b);
  }
}

// out = x * scale + y * other + shift. operands: out, x, y or absent; scale, other or absent, shift
// [channels] of A's type. ints[0]: channels last, and then items are rows, else planes.
template <class A>
void channel_affine(const Call& call, const Range& range) {
  const Operand &out = call.operand[0], &x = call.operand[1], &y = call.operand[2];
  const A *scale = call.operand[3].as<A>(), *shift = call.operand[5].as<A>();
  const A* other = y.absent() ? nullptr : call.operand[4].as<A>();
  const Layout l(x, call.ints[0]);
  A *a_buffer = reinterpret_cast<A*>(range.scratch), *b_buffer = a_buffer + kChunk,
    *result = b_buffer + kChunk;
  if (!l.last) {
    for (int64_t item = range.begin; item < range.end; ++item) {
      const int64_t c = item % l.channels;
      const A s = scale[c], o = other ? other[c] : A(0), t = shift[c];
      by_blocks(l.inner, [&](int64_t i, int64_t n) {
        const int64_t at = item * l.inner + i;
        const A* a = load(x, at, n, a_buffer);
        A* to = place(out, at, result);
        if (other) {
          const A* b = load(y, at, n, b_buffer);
          for (int64_t k = 0; k < n; ++k) to[k] = a[k] * s + b[k] * o + t;
        } else {
          for (int64_t k = 0; k < n; ++k) to[k] = a[k] * s + t;
        }
        store(out, at, n, to);
      });
    }
    return;
  }
  const int64_t chunk = rows_of_chunk(l.channels);
  for (int64_t row = range.begin; row < range.end; row += chunk) {
    const int64_t rows = row + chunk < range.end ? chunk : range.end - row;
    for (int64_t from = 0; from < l.channels; from += kChunk) {
      const int64_t n = l.channels - from < kChunk ? l.channels - from : kChunk;
      const int64_t at = row * l.channels + from;
      const A *a = load(x, at, rows * n, a_buffer), *s = scale + from, *t = shift + from;
      const A *b = other ? load(y, at, rows * n, b_buffer) : a, *o = other ? other + from : s;
      A* to = place(out, at, result);
      for (int64_t k = 0; k < rows * n; k += n)
        if (other)
          for (int64_t c = 0; c < n; ++c) to[k + c] = a[k + c] * s[c] + b[k + c] * o[c] + t[c];
        else
          for (int64_t c = 0; c < n; ++c) to[k + c] = a[k + c] * s[c] + t[c];
      store(out, at, rows * n, to);
    }
  }
}

TRN_REGISTER_REALS(channel_sums);
TRN_REGISTER_REALS(channel_totals);
TRN_REGISTER_REALS(channel_affine);

}  // namespace
}  // namespace trn
