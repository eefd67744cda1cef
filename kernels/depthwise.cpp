// Convolutions of each channel with its own taps, where neighbours in memory are channels: lanes
// are channels, and every tap is one multiply-add of two dense rows.
//
// Images are [n, channels, d, h, w] with channels last in memory; weights [taps, channels] and bias
// [channels] of the kernel's type, dense. ints: a window (depthwise_window.h). Items are lines of
// the output (of the sum's, `image`: parts of its lines).
#include "depthwise_window.h"
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

constexpr int kTogether = 4;  // positions of a line

struct Extent {
  int64_t begin, end;
};

// The positions of a line of `size` that meet every tap, on a line of `width`; none where
// neighbours meet different ones.
TRN_INLINE Extent inside(const Window& window, int64_t size, int64_t width) {
  const auto meets_all = [&](int64_t at) {
    return window.other(2, at, 0, width) >= 0 &&
           window.other(2, at, window.kernel[2] - 1, width) >= 0;
  };
  if (window.transposed && window.stride[2] > 1) return {0, 0};
  Extent e{0, size};
  while (e.begin < size && !meets_all(e.begin)) ++e.begin;
  while (e.end > e.begin && !meets_all(e.end - 1)) --e.end;
  return e;
}

struct Line {
  int64_t n, z, y;
  Line(const Operand& o, int64_t item)
      : n(item / (o.sizes[2] * o.sizes[3])),
        z(item / o.sizes[3] % o.sizes[2]),
        y(item % o.sizes[3]) {}
};

// Lines [w, channels] of an image as A. Lines of another type are converted to a buffer, which
// keeps as many as a line of results can meet: the next one meets most of them again.
template <class A>
class Lines {
 public:
  Lines(const Operand& image, const Window& window, A* buffer)
      : image_(image), window_(window), buffer_(buffer) {
    for (int64_t& tag : tags_) tag = -1;
  }
  TRN_INLINE const A* at(int64_t n, int64_t z, int64_t y) {
    const int64_t size = image_.sizes[4] * image_.sizes[1];
    const int64_t slot = place(0, z) * window_.kernel[1] + place(1, y);
    const int64_t tag = (n * image_.sizes[2] + z) * image_.sizes[3] + y;
    A* line = buffer_ + slot * size;
    const bool kept = tags_[slot] == tag && image_.dtype != DTypeOf<A>::value;
    if (kept) return line;
    tags_[slot] = tag;
    return load(image_, n * image_.strides[0] + z * image_.strides[2] + y * image_.strides[3], size,
                line);
  }

 private:
  // Lines that one line of results meets are a dilation apart: they get different places.
  TRN_INLINE int64_t place(int d, int64_t at) const {
    return at * (window_.transposed ? window_.stride[d] : 1) / window_.dilation[d] %
           window_.kernel[d];
  }
  const Operand& image_;
  const Window& window_;
  A* buffer_;
  int64_t tags_[kMostTaps];
};

// What positions of a line are the sums of: rows x[t] of the image times rows w[t] of the weight.
template <class A>
struct Taps {
  const A *x[kMostTaps], *w[kMostTaps];
  int64_t count = 0;
};

// out[i][c] = bias[c] + the sum of x[t][i * step + c] * w[t][c], of neighbouring positions: a row
// of the weight is loaded once for all.
template <int positions, class A>
TRN_INLINE void combine(A* out, const A* bias, const Taps<A>& taps, int64_t step,
                        int64_t channels) {
  int64_t c = 0;
  using L = Lanes<A>;
  for (; c + L::kAll <= channels; c += L::kAll) {
    typename L::V low[positions], high[positions];
    for (int i = 0; i < positions; ++i) {
      low[i] = bias ? L::at(bias + c) : typename L::V{};
      high[i] = bias ? L::at(bias + c + L::kEach) : typename L::V{};
    }
    for (int64_t t = 0; t < taps.count; ++t) {
      const auto w_low = L::at(taps.w[t] + c), w_high = L::at(taps.w[t] + c + L::kEach);
#pragma GCC unroll 4
      for (int i = 0; i < positions; ++i) {
        low[i] += L::at(taps.x[t] + i * step + c) * w_low;
        high[i] += L::at(taps.x[t] + i * step + c + L::kEach) * w_high;
      }
    }
    for (int i = 0; i < positions; ++i) {
      *reinterpret_cast<typename L::V*>(out + i * channels + c) = low[i];
      *reinterpret_cast<typename L::V*>(out + i * channels + c + L::kEach) = high[i];
    }
  }
  for (; c < channels; ++c)
    for (int i = 0; i < positions; ++i) {
      A sum = bias ? bias[c] : A(0);
      for (int64_t t = 0; t < taps.count; ++t) sum += taps.x[t][i * step + c] * taps.w[t][c];
      out[i * channels + c] = sum;
    }
}

// Where the line of the image begins that the line of results after this one meets first of all.
TRN_INLINE int64_t next_line(const Operand& image, const Window& w, const Line& line) {
  const int64_t reach = (w.kernel[1] - 1) * w.dilation[1], next = line.y + 1;
  const int64_t y = w.transposed ? (next + w.padding[1]) / w.stride[1]
                                 : next * w.stride[1] - w.padding[1] + reach;
  return line.n * image.strides[0] + line.z * image.strides[2] + y * image.strides[3];
}

// operands: out, image, weight, bias or absent.
template <class A>
void depthwise(const Call& call, const Range& range) {
  const Operand &out = call.operand[0], &image = call.operand[1];
  const Window window(call.ints);
  const A* weight = call.operand[2].as<A>();
  const A* bias = call.operand[3].absent() ? nullptr : call.operand[3].as<A>();
  const int64_t channels = out.sizes[1], width = image.sizes[4];
  A* result = reinterpret_cast<A*>(range.scratch);
  A* buffer = result + channels * out.sizes[4];
  Lines<A> image_lines(image, window, buffer);
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
        from[lines] = image_lines.at(line.n, z, y);
        ++lines;
      }
    const int64_t at = line.n * out.strides[0] + line.z * out.strides[2] + line.y * out.strides[3];
    A* to = place(out, at, result);
    // Where all taps lie inside, neighbours meet the same ones, a fixed step further.
    const Extent whole = inside(window, out.sizes[4], width);
    const int64_t step = (window.transposed ? 1 : window.stride[2]) * channels;
    const int64_t ahead = next_line(image, window, line);
    for (int64_t i = 0; i < out.sizes[4];) {
      fetch(image, ahead + i * step, kTogether * step);
      fetch<true>(out, at + out.strides[3] + i * channels, kTogether * channels);
      Taps<A> taps;
      for (int64_t kx = 0; kx < window.kernel[2]; ++kx) {
        const int64_t j = window.other(2, i, kx, width);
        if (j < 0) continue;
        for (int64_t l = 0; l < lines; ++l, ++taps.count)
          taps.x[taps.count] = from[l] + j * channels,
          taps.w[taps.count] = first[l] + kx * channels;
      }
      const bool together = i >= whole.begin && i + kTogether <= whole.end;
      if (together) combine<kTogether>(to + i * channels, bias, taps, step, channels);
      else combine<1>(to + i * channels, bias, taps, step, channels);
      i += together ? kTogether : 1;
    }
    store(out, at, channels * out.sizes[4], to);
  }
}

// sum[t][c] += the sum over i < n of g[i][c] * x[t][i * step + c], for neighbouring taps: a row of
// g is loaded once for all.
template <int taps, class A>
TRN_INLINE void add_products(A* sum, const A* g, const A* const* x, int64_t step, int64_t n,
                             int64_t channels) {
  int64_t c = 0;
  using L = Lanes<A>;
  for (; c + L::kAll <= channels; c += L::kAll) {
    typename L::V low[taps]{}, high[taps]{};
    for (int64_t i = 0; i < n; ++i) {
      const auto g_low = L::at(g + i * channels + c),
                 g_high = L::at(g + i * channels + c + L::kEach);
#pragma GCC unroll 4
      for (int t = 0; t < taps; ++t) {
        low[t] += g_low * L::at(x[t] + i * step + c);
        high[t] += g_high * L::at(x[t] + i * step + c + L::kEach);
      }
    }
    for (int t = 0; t < taps; ++t) {
      A* to = sum + t * channels + c;
      *reinterpret_cast<typename L::V*>(to) += low[t];
      *reinterpret_cast<typename L::V*>(to + L::kEach) += high[t];
    }
  }
  for (; c < channels; ++c)
    for (int t = 0; t < taps; ++t) {
      A total = 0;
      for (int64_t i = 0; i < n; ++i) total += g[i * channels + c] * x[t][i * step + c];
      sum[t * channels + c] += total;
    }
}

// Adds what a line of the result's gradient and a line of the image give to a row of taps.
template <class A>
TRN_INLINE void add_line(A* sum, const A* g, const A* x, const Window& window, int64_t size,
                         int64_t width, int64_t channels) {
  const Extent whole = inside(window, size, width);
  const int64_t step = window.stride[2] * channels, taps = window.kernel[2];
  const auto meets = [&](int64_t i, int64_t kx) {
    return x + (i * window.stride[2] - window.padding[2] + kx * window.dilation[2]) * channels;
  };
  for (int64_t kx = 0; kx < taps; kx += 4) {
    const int64_t n = whole.end - whole.begin;
    const A *from = g + whole.begin * channels, *row[4];
    for (int64_t t = 0; t < 4 && kx + t < taps; ++t) row[t] = meets(whole.begin, kx + t);
    A* to = sum + kx * channels;
    if (n == 0) break;
    if (taps - kx >= 4) add_products<4>(to, from, row, step, n, channels);
    else if (taps - kx == 3) add_products<3>(to, from, row, step, n, channels);
    else if (taps - kx == 2) add_products<2>(to, from, row, step, n, channels);
    else add_products<1>(to, from, row, step, n, channels);
  }
  for (int64_t kx = 0; kx < taps; ++kx)
    for (int64_t i = 0; i < size; ++i) {
      if (i == whole.begin) i = whole.end;
      if (i >= size || window.other(2, i, kx, width) < 0) continue;
      const A* row = meets(i, kx);
      add_products<1>(sum + kx * channels, g + i * channels, &row, step, 1, channels);
    }
}

// operands: sums [parts, taps, channels] of A; grad (of the result), image.
template <class A>
void depthwise_weight(const Call& call, const Range& range) {
  const Operand &sums = call.operand[0], &grad = call.operand[1], &image = call.operand[2];
  const Window window(call.ints);
  const int64_t channels = image.sizes[1], parts = sums.sizes[0], taps = sums.sizes[1];
  const int64_t lines = grad.sizes[0] * grad.sizes[2] * grad.sizes[3], width = grad.sizes[4];
  const int64_t size = (lines + parts - 1) / parts;
  A* buffer = reinterpret_cast<A*>(range.scratch);
  Lines<A> image_lines(image, window, buffer + channels * width);
  for (int64_t part = range.begin; part < range.end; ++part) {
    A* sum = sums.as<A>() + part * taps * channels;
    for (int64_t c = 0; c < taps * channels; ++c) sum[c] = 0;
    for (int64_t item = part * size; item < (part + 1) * size && item < lines; ++item) {
      const Line line(grad, item);
      const A* from =
          load(grad, line.n * grad.strides[0] + line.z * grad.strides[2] + line.y * grad.strides[3],
               width * channels, buffer);
      for (int64_t tap = 0; tap < taps; tap += window.kernel[2]) {
        const int64_t row = tap / window.kernel[2];
        const int64_t z = window.other(0, line.z, row / window.kernel[1], image.sizes[2]);
        const int64_t y = window.other(1, line.y, row % window.kernel[1], image.sizes[3]);
        if (z < 0 || y < 0) continue;
        add_line(sum + tap * channels, from, image_lines.at(line.n, z, y), window, width,
                 image.sizes[4], channels);
      }
    }
  }
}

TRN_REGISTER_REALS(depthwise);
TRN_REGISTER_REALS(depthwise_weight);

}  // namespace
}  // namespace trn
