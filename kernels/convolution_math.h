// Convolutions over planes: those with few channels of results, whose weights slide along the
// planes, and gradients of such weights. Dimensions that a convolution has not are 1.
// ints of all kernels: taps, first, step, stride, grid of each axis (convolution_geometry.h).
#pragma once

#include "convolution_geometry.h"
#include "matmul_floats.h"

namespace trn {
namespace {

struct Axes {
  ConvAxis axis[kAxes];
};
TRN_INLINE Axes axes_of(const Call& call) {
  Axes a;
  __builtin_memcpy(&a, call.ints, sizeof a);
  return a;
}
constexpr int kFirstFree = kAxes * kAxisInts;  // of ints

// Positions of the output, those between its rows included.
TRN_INLINE int64_t positions_of(const ConvAxis (&axis)[kAxes], const Operand& out) {
  return ((out.sizes[2] - 1) * axis[1].grid + out.sizes[3] - 1) * axis[2].grid + out.sizes[4];
}

// What both kinds of tiles know.
template <class Math>
struct ConvBase {
  using S = typename Math::Source;
  using A = typename Math::Sum;
  using T = Thin<S, A>;
  using V = typename T::V;
  static constexpr int kLanes = Blocked<Math>::kLanes;

  const Call& call;
  const ConvAxis (&axis)[kAxes];
  int64_t group, n0;
  int64_t m = 0, n = 0, taps, plane;
  int64_t* offsets;  // of channels' taps in the planes of a group
  A* spare;          // the scratch before them

  ConvBase(const Call& c, const ConvAxis (&a)[kAxes], int64_t g, int64_t column, char* scratch)
      : call(c),
        axis(a),
        group(g),
        n0(column),
        taps(a[0].taps * a[1].taps * a[2].taps),
        plane(plane_size(a)),
        offsets(reinterpret_cast<int64_t*>(scratch + kScratchBytes - kSpareBytes)),
        spare(reinterpret_cast<A*>(scratch)) {}

  void find_offsets(int64_t first, int64_t count) {
    for (int64_t i = 0; i < count; ++i)
      offsets[i] = (first + i) / taps * plane + tap_offset(axis, (first + i) % taps);
  }
};

template <class Math>
struct ConvTile : ConvBase<Math> {
  using Base = ConvBase<Math>;
  using S = typename Base::S;
  using A = typename Base::A;
  using T = typename Base::T;
  using V = typename Base::V;
  using Base::kLanes, Base::call, Base::axis, Base::offsets;
  int64_t image, k = 0;
  const S *weight, *planes;

  ConvTile(const Call& c, const ConvAxis (&a)[kAxes], int64_t i, int64_t g, int64_t column,
           char* scratch)
      : Base(c, a, g, column, scratch), image(i) {
    const Operand &w = c.operand[1], &p = c.operand[2];
    const int64_t groups = c.ints[kFirstFree + 1];
    this->m = w.sizes[0] / groups;
    k = w.sizes[1];
    weight = w.as<S>() + g * this->m * k;
    planes = p.as<S>() + (i * p.sizes[1] + g * (p.sizes[1] / groups)) * this->plane + column;
  }

  // Sums of positions n0... of one channel, to where the output has them.
  void finish(int64_t row, A* sums, A* buffer) {
    const Operand &out = call.operand[0], &bias = call.operand[3];
    const int64_t channel = this->group * this->m + row;
    char* to = out.as<char>() +
               (image * out.strides[0] + channel * out.strides[1]) * dtype_size(out.dtype);
    if (!bias.absent()) {
      TRN_ISA_NAMESPACE::convert_run(buffer, DTypeOf<A>::value, 1,
                                     bias.as<char>() + channel * dtype_size(bias.dtype), bias.dtype,
                                     1, 1);
      for (int64_t j = 0; j < this->n; ++j) sums[j] += buffer[0];
    }
    for (int64_t j = 0; j < this->n;) {
      const int64_t q = this->n0 + j, line = q / axis[2].grid, w = q % axis[2].grid;
      const int64_t h = line % axis[1].grid, d = line / axis[1].grid;
      const int64_t row_left = axis[2].grid - w, left = this->n - j;
      const int64_t run = row_left < left ? row_left : left;
      const int64_t valid = out.sizes[4] - w < run ? out.sizes[4] - w : run;
      if (valid > 0 && h < out.sizes[3] && d < out.sizes[2])
        TRN_ISA_NAMESPACE::convert_run(
            to + (d * out.strides[2] + h * out.strides[3] + w * out.strides[4]) *
                     dtype_size(out.dtype),
            out.dtype, out.strides[4], sums + j, DTypeOf<A>::value, 1, valid);
      j += run;
    }
  }

  void run() {
    this->find_offsets(0, k);
    A* sums = this->spare;
    A* factor = sums + kNarrow * kMaxTileN;
    for (int64_t i = 0; i < this->m * k; ++i) factor[i] = static_cast<A>(weight[i]);
    T::by_rows(this->m, [&]<int r>(int64_t i) {
      int64_t j = 0;
      constexpr int kWide = kVectorBytes == 64 && r < 4 ? 8 : 4;
      for (; j + kWide * kLanes <= this->n; j += kWide * kLanes)
        slide<r, kWide>(factor + i * k, j, sums + i * kMaxTileN);
      for (; j + kLanes <= this->n; j += kLanes)
        slide<r, 1>(factor + i * k, j, sums + i * kMaxTileN);
      for (; j < this->n; ++j)
        for (int64_t x = i; x < i + r; ++x) {
          A sum = 0;
          for (int64_t q = 0; q < k; ++q)
            sum += factor[x * k + q] * static_cast<A>(planes[offsets[q] + j]);
          sums[x * kMaxTileN + j] = sum;
        }
    });
    A* buffer = factor + kNarrow * kNarrowTaps;
    for (int64_t i = 0; i < this->m; ++i) finish(i, sums + i * kMaxTileN, buffer);
  }

  // Few rows of sums over positions [j, j + vectors * lanes): each tap is read where it lies.
  template <int rows, int vectors>
  void slide(const A* factor, int64_t j, A* sums) {
    V sum[rows][vectors] = {};
    for (int64_t q = 0; q < k; ++q) {
      const S* from = planes + offsets[q] + j;
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) {
        const V x = T::load(from + v * kLanes);
        // For the positions to come: short runs of many planes, which no processor foresees.
        __builtin_prefetch(from + (vectors + v) * kLanes);
#pragma GCC unroll 4
        for (int r = 0; r < rows; ++r) sum[r][v] += x * factor[r * k + q];
      }
    }
    for (int r = 0; r < rows; ++r)
      for (int v = 0; v < vectors; ++v)
        *reinterpret_cast<V*>(sums + r * kMaxTileN + j + v * kLanes) = sum[r][v];
  }
};

// Dot products of rows of results' gradients with planes.
template <class Math>
struct ConvDots : ConvBase<Math> {
  using Base = ConvBase<Math>;
  using S = typename Base::S;
  using A = typename Base::A;
  using T = typename Base::T;
  using V = typename Base::V;
  using Base::kLanes, Base::offsets;
  int64_t positions;

  ConvDots(const Call& c, const ConvAxis (&a)[kAxes], int64_t group, char* scratch)
      : Base(c, a, group, 0, scratch), positions(c.operand[1].sizes[2]) {
    this->n = c.operand[0].sizes[1];
    this->find_offsets(0, this->n);
  }

  void run(int64_t row) {
    const Operand &out = this->call.operand[0], &y = this->call.operand[1],
                  &p = this->call.operand[2];
    const int64_t groups = this->call.ints[kFirstFree];
    A* sums = out.as<A>() + row * this->n;
    for (int64_t j = 0; j < this->n; ++j) sums[j] = 0;
    for (int64_t image = 0; image < y.sizes[0]; ++image) {
      const S* from = y.as<S>() + image * y.strides[0] + row * y.strides[1];
      const S* planes =
          p.as<S>() + (image * p.sizes[1] + this->group * (p.sizes[1] / groups)) * this->plane;
      int64_t j = 0;
      for (; j + 4 <= this->n; j += 4) dots<4>(from, planes, j, sums);
      for (; j < this->n; ++j) dots<1>(from, planes, j, sums);
    }
  }

  template <int columns>
  void dots(const S* y, const S* x, int64_t j, A* sums) {
    V sum[columns] = {};
    int64_t q = 0;
    for (; q + kLanes <= positions; q += kLanes) {
      const V v = T::load(y + q);
#pragma GCC unroll 4
      for (int c = 0; c < columns; ++c) sum[c] += v * T::load(x + offsets[j + c] + q);
    }
    for (int c = 0; c < columns; ++c) {
      A total = 0;
      for (int v = 0; v < kLanes; ++v) total += sum[c][v];
      for (int64_t t = q; t < positions; ++t)
        total += static_cast<A>(y[t]) * static_cast<A>(x[offsets[j + c] + t]);
      sums[j + c] += total;
    }
  }
};

// operands: out [n, co, d, h, w] of any strides, at most kNarrow channels a group; weight [co, ci /
// groups * taps] dense, at most kNarrowTaps wide; planes [n, ci, plane_size] dense; bias [co] or
// absent. More ints: positions of a tile, groups. Items are (image, group, tile).
template <class Math>
void convolve(const Call& call, const Range& range) {
  const Operand& out = call.operand[0];
  const Axes geometry = axes_of(call);
  const int64_t tile_n = call.ints[kFirstFree], groups = call.ints[kFirstFree + 1];
  const int64_t n = positions_of(geometry.axis, out), items = (n + tile_n - 1) / tile_n;
  for (int64_t item = range.begin; item < range.end; ++item) {
    const int64_t group = item / items % groups, image = item / items / groups;
    const int64_t n0 = item % items * tile_n;
    ConvTile<Math> tile(call, geometry.axis, image, group, n0, range.scratch);
    tile.n = n - n0 < tile_n ? n - n0 : tile_n;
    tile.run();
  }
}

// operands: gradient [co, ci / groups * taps] dense of the sums' type, at most kNarrowTaps wide;
// results' gradient as planes [n, co, positions] with dense rows, zero between those of the output;
// planes [n, ci, plane_size] dense. One more int: groups. Items are rows; images are
// summed in order.
template <class Math>
void weight_gradient_narrow(const Call& call, const Range& range) {
  const Axes geometry = axes_of(call);
  const int64_t each = call.operand[0].sizes[0] / call.ints[kFirstFree];
  for (int64_t row = range.begin; row < range.end; ++row)
    ConvDots<Math>(call, geometry.axis, row / each, range.scratch).run(row);
}

}  // namespace
}  // namespace trn
