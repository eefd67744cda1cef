// Convolutions of each channel with its own taps, where neighbours in memory are channels: lanes
// are channels, and every tap is one multiply-add of two dense rows.
//
// Images are [n, channels, d, h, w] with channels last in memory; weights [taps, channels] and bias
// [channels] of the kernel's type, dense. ints: kernel[3], stride[3], padding[3], dilation[3], and 1
// for the transpose: then `out` is what the convolution reads and `image` what it writes. Items are
// lines of the output (of the sum's, `image`: parts of its lines).
#include "convolution_geometry.h"
#include "rows.h"

namespace trn {
namespace {

// Two vectors of neighbouring channels.
template <class A>
struct Lanes {
  typedef A V __attribute__((vector_size(kVectorBytes), aligned(alignof(A)), may_alias));
  static constexpr int64_t kEach = kVectorBytes / sizeof(A), kAll = 2 * kEach;
  TRN_INLINE static V at(const A* p) { return *reinterpret_cast<const V*>(p); }
};

struct Window {
  const int64_t *kernel, *stride, *padding, *dilation;
  bool transposed;
  explicit Window(const Call& call)
      : kernel(call.ints), stride(kernel + 3), padding(kernel + 6), dilation(kernel + 9),
        transposed(call.ints[12]) {}

  // Where position `at` meets tap k of dimension d on the other side, whose size is given; -1 if
  // nowhere.
  TRN_INLINE int64_t other(int d, int64_t at, int64_t k, int64_t size) const {
    int64_t to = at * stride[d] - padding[d] + k * dilation[d];
    if (transposed) {
      to = at + padding[d] - k * dilation[d];
      if (to % stride[d]) return -1;
      to /= stride[d];
    }
    return to >= 0 && to < size ? to : -1;
  }
};

// A line [w, channels] of an image as A; a line of bytes that must be converted goes to the buffer.
template <class A>
TRN_INLINE const A* line_of(const Operand& o, int64_t n, int64_t z, int64_t y, A* buffer) {
  return load(o, n * o.strides[0] + z * o.strides[2] + y * o.strides[3],
              o.sizes[4] * o.sizes[1], buffer);
}

struct Line {
  int64_t n, z, y;
  Line(const Operand& o, int64_t item)
      : n(item / (o.sizes[2] * o.sizes[3])), z(item / o.sizes[3] % o.sizes[2]),
        y(item % o.sizes[3]) {}
};

// out[c] = bias[c] + the sum of x[t][c] * w[t][c].
template <class A>
TRN_INLINE void combine(A* out, const A* bias, const A* const* x, const A* const* w, int64_t taps,
                        int64_t channels) {
  int64_t c = 0;
  using L = Lanes<A>;
  for (; c + L::kAll <= channels; c += L::kAll) {
    typename L::V low{}, high{};
    if (bias) low = L::at(bias + c), high = L::at(bias + c + L::kEach);
    for (int64_t t = 0; t < taps; ++t) {
      low += L::at(x[t] + c) * L::at(w[t] + c);
      high += L::at(x[t] + c + L::kEach) * L::at(w[t] + c + L::kEach);
    }
    *reinterpret_cast<typename L::V*>(out + c) = low;
    *reinterpret_cast<typename L::V*>(out + c + L::kEach) = high;
  }
  for (; c < channels; ++c) {
    A sum = bias ? bias[c] : A(0);
    for (int64_t t = 0; t < taps; ++t) sum += x[t][c] * w[t][c];
    out[c] = sum;
  }
}

// operands: out, image, weight, bias or absent.
template <class A>
void depthwise(const Call& call, const Range& range) {
  const Operand &out = call.operand[0], &image = call.operand[1];
  const Window window(call);
  const A* weight = call.operand[2].as<A>();
  const A* bias = call.operand[3].absent() ? nullptr : call.operand[3].as<A>();
  const int64_t channels = out.sizes[1], width = image.sizes[4];
  A* result = reinterpret_cast<A*>(range.scratch);
  A* buffer = result + channels * out.sizes[4];
  for (int64_t item = range.begin; item < range.end; ++item) {
    const Line line(out, item);
    // Lines of the image that this one meets, and the first tap of each.
    const A *from[kMostTaps], *first[kMostTaps];
    int64_t lines = 0;
    for (int64_t kz = 0; kz < window.kernel[0]; ++kz)
      for (int64_t ky = 0; ky < window.kernel[1]; ++ky) {
        const int64_t z = window.other(0, line.z, kz, image.sizes[2]);
        const int64_t y = window.other(1, line.y, ky, image.sizes[3]);
        if (z < 0 || y < 0) continue;
        first[lines] = weight + (kz * window.kernel[1] + ky) * window.kernel[2] * channels;
        from[lines] = line_of(image, line.n, z, y, buffer + lines * width * channels);
        ++lines;
      }
    const int64_t at = line.n * out.strides[0] + line.z * out.strides[2] + line.y * out.strides[3];
    A* to = place(out, at, result);
    for (int64_t i = 0; i < out.sizes[4]; ++i) {
      const A *x[kMostTaps], *w[kMostTaps];
      int64_t taps = 0;
      for (int64_t kx = 0; kx < window.kernel[2]; ++kx) {
        const int64_t j = window.other(2, i, kx, width);
        if (j < 0) continue;
        for (int64_t l = 0; l < lines; ++l, ++taps)
          x[taps] = from[l] + j * channels, w[taps] = first[l] + kx * channels;
      }
      combine(to + i * channels, bias, x, w, taps, channels);
    }
    store(out, at, channels * out.sizes[4], to);
  }
}

// sum[c] += the sum over i of g[i][c] * x[i][c].
template <class A>
TRN_INLINE void add_products(A* sum, const A* const* g, const A* const* x, int64_t n,
                             int64_t channels) {
  int64_t c = 0;
  using L = Lanes<A>;
  for (; c + L::kAll <= channels; c += L::kAll) {
    auto *low = reinterpret_cast<typename L::V*>(sum + c),
         *high = reinterpret_cast<typename L::V*>(sum + c + L::kEach);
    typename L::V a{}, b{};
    for (int64_t i = 0; i < n; ++i) {
      a += L::at(g[i] + c) * L::at(x[i] + c);
      b += L::at(g[i] + c + L::kEach) * L::at(x[i] + c + L::kEach);
    }
    *low += a, *high += b;
  }
  for (; c < channels; ++c) {
    A total = 0;
    for (int64_t i = 0; i < n; ++i) total += g[i][c] * x[i][c];
    sum[c] += total;
  }
}

// operands: sums [parts, taps, channels] of A; grad (of the result), image.
template <class A>
void depthwise_weight(const Call& call, const Range& range) {
  const Operand &sums = call.operand[0], &grad = call.operand[1], &image = call.operand[2];
  const Window window(call);
  const int64_t channels = image.sizes[1], parts = sums.sizes[0], taps = sums.sizes[1];
  const int64_t lines = grad.sizes[0] * grad.sizes[2] * grad.sizes[3];
  const int64_t size = (lines + parts - 1) / parts;
  A* g_buffer = reinterpret_cast<A*>(range.scratch);
  A* x_buffer = g_buffer + channels * grad.sizes[4];
  for (int64_t part = range.begin; part < range.end; ++part) {
    A* sum = sums.as<A>() + part * taps * channels;
    for (int64_t c = 0; c < taps * channels; ++c) sum[c] = 0;
    for (int64_t item = part * size; item < (part + 1) * size && item < lines; ++item) {
      const Line line(grad, item);
      const A* from = line_of(grad, line.n, line.z, line.y, g_buffer);
      for (int64_t tap = 0; tap < taps; tap += window.kernel[2]) {
        const int64_t row = tap / window.kernel[2];
        const int64_t z = window.other(0, line.z, row / window.kernel[1], image.sizes[2]);
        const int64_t y = window.other(1, line.y, row % window.kernel[1], image.sizes[3]);
        if (z < 0 || y < 0) continue;
        const A* to = line_of(image, line.n, z, y, x_buffer);
        for (int64_t kx = 0; kx < window.kernel[2]; ++kx) {
          const A *g[kMostTaps], *x[kMostTaps];
          int64_t n = 0;
          const auto flush = [&] {
            add_products(sum + (tap + kx) * channels, g, x, n, channels);
            n = 0;
          };
          for (int64_t i = 0; i < grad.sizes[4]; ++i) {
            const int64_t j = window.other(2, i, kx, image.sizes[4]);
            if (j < 0) continue;
            g[n] = from + i * channels, x[n] = to + j * channels;
            if (++n == kMostTaps) flush();
          }
          flush();
        }
      }
    }
  }
}

TRN_REGISTER_REALS(depthwise);
TRN_REGISTER_REALS(depthwise_weight);

}  // namespace
}  // namespace trn
