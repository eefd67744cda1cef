// Sampling of images and volumes at points of a grid, and the gradients of that.
//
// An image is [batch, channels, d, h, w] of any strides, a grid [batch, points, 2 or 3] dense with
// x first. Every mode is a product of one weight an axis: nearest has one tap an axis, linear two,
// cubic four. So a point has at most sixteen taps, each an offset into a channel and a weight; a
// tap outside the image has offset -1 and counts as 0. Points go by blocks, whose taps are found
// once and used for all channels.
//
// ints: interpolation (linear, nearest, cubic), padding (zeros, border, reflection), align corners.
#include "convert.h"
#include "math.h"

namespace trn {
namespace {

enum Interpolation : int64_t { kLinear, kNearest, kCubic };
enum Padding : int64_t { kZeros, kBorder, kReflection };
constexpr int64_t kPoints = 64;  // of a block: taps of 64 points in f64 take 48 KiB of scratch
constexpr int kTaps = 16;

template <class T>
struct Coordinate {
  T x, slope;  // place in the image, and its derivative by the grid's number
};

// The distance from `low` folded back and forth over `span`.
template <class T>
TRN_INLINE Coordinate<T> reflect(Coordinate<T> c, T low, T span) {
  if (span <= T(0)) return {T(0), T(0)};
  T x = c.x - low;
  if (x < T(0)) {
    x = -x;
    c.slope = -c.slope;
  }
  const T turns = m_floor(x / span), rest = m_fmod(x, span);
  if (m_fmod(turns, T(2)) == T(0)) return {rest + low, c.slope};
  return {span - rest + low, -c.slope};
}
template <class T>
TRN_INLINE Coordinate<T> clip(Coordinate<T> c, int64_t size) {
  const T last = static_cast<T>(size - 1);
  if (!(c.x > T(0))) return {T(0), T(0)};
  return c.x >= last ? Coordinate<T>{last, T(0)} : c;
}
template <class T>
TRN_INLINE Coordinate<T> inside(Coordinate<T> c, int64_t size, int64_t padding, bool align) {
  if (padding == kReflection)
    c = align ? reflect(c, T(0), static_cast<T>(size - 1))
              : reflect(c, T(-0.5), static_cast<T>(size));
  return padding == kZeros ? c : clip(c, size);
}
template <class T>
TRN_INLINE Coordinate<T> place(T x, int64_t size, bool align) {
  const T n = static_cast<T>(size);
  if (align) return {(x + T(1)) / T(2) * (n - T(1)), (n - T(1)) / T(2)};
  return {((x + T(1)) * n - T(1)) / T(2), n / T(2)};
}

// The taps of one axis: index (-1 outside), weight, and the weight's derivative.
template <class T>
struct AxisTaps {
  int count;
  int64_t index[4];
  T weight[4], slope[4];

  TRN_INLINE void set(int k, int64_t i, int64_t size, T w, T s) {
    index[k] = i >= 0 && i < size ? i : -1;
    weight[k] = w;
    slope[k] = s;
  }
};

// A coordinate that no integer holds lies outside.
template <class T>
TRN_INLINE T bounded(T x) {
  return x > T(-2147483647.0) && x < T(2147483646.0) ? x : T(-100);
}

template <class T>
TRN_INLINE void cubic_taps(AxisTaps<T>& a, Coordinate<T> c, int64_t size, int64_t padding,
                           bool align) {
  const T at = bounded(m_floor(c.x)), t = c.x - at;
  const T k = T(-0.75);
  const auto near = [&](T x) { return ((k + T(2)) * x - (k + T(3))) * x * x + T(1); };
  const auto far = [&](T x) { return ((k * x - T(5) * k) * x + T(8) * k) * x - T(4) * k; };
  const auto near_slope = [&](T x) { return (T(3) * (k + T(2)) * x - T(2) * (k + T(3))) * x; };
  const auto far_slope = [&](T x) { return (T(3) * k * x - T(10) * k) * x + T(8) * k; };
  const T weight[4] = {far(t + T(1)), near(t), near(T(1) - t), far(T(2) - t)};
  const T slope[4] = {far_slope(t + T(1)), near_slope(t), -near_slope(T(1) - t),
                      -far_slope(T(2) - t)};
  a.count = 4;
  for (int i = 0; i < 4; ++i) {
    const T x = inside(Coordinate<T>{at + static_cast<T>(i - 1), T(1)}, size, padding, align).x;
    a.set(i, static_cast<int64_t>(bounded(x)), size, weight[i], slope[i] * c.slope);
  }
}

template <class T>
TRN_INLINE void axis_taps(AxisTaps<T>& a, T x, int64_t size, const Call& call) {
  const int64_t mode = call.ints[0], padding = call.ints[1];
  const bool align = call.ints[2];
  Coordinate<T> c = place(x, size, align);
  if (mode == kCubic) return cubic_taps(a, c, size, padding, align);
  c = inside(c, size, padding, align);
  c.x = bounded(c.x);
  if (mode == kNearest) {
    a.count = 1;
    a.set(0, static_cast<int64_t>(m_nearbyint(c.x)), size, T(1), T(0));
    return;
  }
  const T at = m_floor(c.x), part = c.x - at;
  a.count = 2;
  a.set(0, static_cast<int64_t>(at), size, T(1) - part, -c.slope);
  a.set(1, static_cast<int64_t>(at) + 1, size, part, c.slope);
}

// The taps of a block of points: [tap][point].
template <class T>
struct Block {
  int taps;
  int64_t offset[kTaps][kPoints];
  T weight[kTaps][kPoints];
  T slope[3][kTaps][kPoints];  // by x, y, z

  // Points [first, first + n) of batch item b, for an image.
  TRN_INLINE void fill(const Call& call, const Operand& image, const Operand& grid, int64_t b,
                       int64_t first, int64_t n) {
    const int64_t axes = grid.sizes[2];
    const T* point = grid.as<T>() + (b * grid.sizes[1] + first) * axes;
    for (int64_t p = 0; p < n; ++p, point += axes) {
      AxisTaps<T> x, y, z;
      axis_taps(x, point[0], image.sizes[4], call);
      axis_taps(y, point[1], image.sizes[3], call);
      if (axes == 3) {
        axis_taps(z, point[2], image.sizes[2], call);
      } else {
        z.count = 1;
        z.set(0, 0, 1, T(1), T(0));
      }
      cross(image, x, y, z, p);
    }
  }

 private:
  TRN_INLINE void cross(const Operand& image, const AxisTaps<T>& x, const AxisTaps<T>& y,
                        const AxisTaps<T>& z, int64_t p) {
    int k = 0;
    for (int c = 0; c < z.count; ++c)
      for (int b = 0; b < y.count; ++b)
        for (int a = 0; a < x.count; ++a, ++k) {
          const bool outside = x.index[a] < 0 || y.index[b] < 0 || z.index[c] < 0;
          offset[k][p] = outside ? -1
                                 : z.index[c] * image.strides[2] + y.index[b] * image.strides[3] +
                                       x.index[a] * image.strides[4];
          weight[k][p] = x.weight[a] * y.weight[b] * z.weight[c];
          slope[0][k][p] = x.slope[a] * y.weight[b] * z.weight[c];
          slope[1][k][p] = x.weight[a] * y.slope[b] * z.weight[c];
          slope[2][k][p] = x.weight[a] * y.weight[b] * z.slope[c];
        }
    taps = k;
  }
};

// Calls f(batch item, first point, points, block) for a range of points, a block at a time.
template <class T, class F>
TRN_INLINE void each_block(const Call& call, const Operand& image, const Operand& grid,
                           const Range& range, F f) {
  Block<T>& block = *reinterpret_cast<Block<T>*>(range.scratch);
  const int64_t points = grid.sizes[1];
  for (int64_t at = range.begin; at < range.end;) {
    const int64_t b = at / points, first = at % points;
    int64_t n = points - first < range.end - at ? points - first : range.end - at;
    n = n < kPoints ? n : kPoints;
    block.fill(call, image, grid, b, first, n);
    f(b, first, n, block);
    at += n;
  }
}

// operands: out [batch, channels, points] dense; image, grid. Items are points (batch, point).
template <class T>
void grid_sample(const Call& call, const Range& range) {
  const Operand &out = call.operand[0], &image = call.operand[1], &grid = call.operand[2];
  const int64_t channels = out.sizes[1], points = out.sizes[2];
  each_block<T>(call, image, grid, range, [&](int64_t b, int64_t first, int64_t n, Block<T>& k) {
    for (int64_t c = 0; c < channels; ++c) {
      const T* from = image.as<T>() + b * image.strides[0] + c * image.strides[1];
      T sum[kPoints] = {};
      for (int t = 0; t < k.taps; ++t)
        for (int64_t p = 0; p < n; ++p)
          sum[p] += k.offset[t][p] < 0 ? T(0) : k.weight[t][p] * from[k.offset[t][p]];
      __builtin_memcpy(out.as<T>() + (b * channels + c) * points + first, sum, n * sizeof(T));
    }
  });
}

// operands: grad_image [batch, channels, d, h, w] dense and zeroed; grad [batch, channels, points]
// dense, grid. Items are planes (batch, channel); a plane's additions have the points' order.
template <class T>
void grid_sample_backward(const Call& call, const Range& range) {
  const Operand &out = call.operand[0], &grad = call.operand[1], &grid = call.operand[2];
  const int64_t channels = out.sizes[1], points = grad.sizes[2];
  for (int64_t item = range.begin; item < range.end;) {
    const int64_t b = item / channels;
    const int64_t end = (b + 1) * channels < range.end ? (b + 1) * channels : range.end;
    const Range all{b * points, (b + 1) * points, range.scratch, range.fault};
    each_block<T>(call, out, grid, all, [&](int64_t, int64_t first, int64_t n, Block<T>& k) {
      for (int64_t plane = item; plane < end; ++plane) {
        T* to = out.as<T>() + plane * out.strides[1];
        const T* g = grad.as<T>() + plane * points + first;
        for (int64_t p = 0; p < n; ++p)
          for (int t = 0; t < k.taps; ++t)
            if (k.offset[t][p] >= 0) to[k.offset[t][p]] += k.weight[t][p] * g[p];
      }
    });
    item = end;
  }
}

// operands: grad_grid like grid, dense; grad [batch, channels, points] dense, image, grid. Items
// are points.
template <class T>
void grid_sample_backward_grid(const Call& call, const Range& range) {
  const Operand &out = call.operand[0], &grad = call.operand[1], &image = call.operand[2],
                &grid = call.operand[3];
  const int64_t channels = grad.sizes[1], points = grad.sizes[2], axes = grid.sizes[2];
  each_block<T>(call, image, grid, range, [&](int64_t b, int64_t first, int64_t n, Block<T>& k) {
    T sum[3][kPoints] = {};
    for (int64_t c = 0; c < channels; ++c) {
      const T* from = image.as<T>() + b * image.strides[0] + c * image.strides[1];
      const T* g = grad.as<T>() + (b * channels + c) * points + first;
      for (int t = 0; t < k.taps; ++t)
        for (int64_t p = 0; p < n; ++p) {
          const T v = k.offset[t][p] < 0 ? T(0) : g[p] * from[k.offset[t][p]];
          for (int64_t a = 0; a < axes; ++a) sum[a][p] += v * k.slope[a][t][p];
        }
    }
    T* to = out.as<T>() + (b * points + first) * axes;
    for (int64_t p = 0; p < n; ++p)
      for (int64_t a = 0; a < axes; ++a) to[p * axes + a] = sum[a][p];
  });
}

TRN_REGISTER_REALS(grid_sample);
TRN_REGISTER_REALS(grid_sample_backward);
TRN_REGISTER_REALS(grid_sample_backward_grid);

}  // namespace
}  // namespace trn
