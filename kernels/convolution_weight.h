// Gradients of convolutions' weights: for every tap, results' gradients times the image it meets.
//
// The product runs over positions of the results, a block of them at a time. Results' gradients of
// the block are packed once. Of the image, one strip of a register tile's width after the other
// (channels, or channels of neighbouring taps, dense in memory) meets all rows of the item: it is
// read where it lies or, if it has to be converted or put together, packed. Sums lie in the second
// level.
#pragma once

#include <utility>

#include "convolution_positions.h"
#include "convolution_weight_tiles.h"
#include "matmul_floats.h"

namespace trn {
namespace {

template <class Math>
struct WeightTile {
  using B = Blocked<Math>;
  using S = typename Math::Source;
  using U = typename Math::Unit;
  using A = typename Math::Sum;
  using UV = typename B::UV;
  using AV = typename B::AV;
  // Units of a block: strips of it in the image and of the rows share the first level.
  static constexpr int64_t kPer = Math::kPer, kUnits = 96;
  static constexpr bool kPlain = __is_same(S, U);  // the image's numbers are units
  static constexpr int kLanes = B::kLanes, kColumns = B::kColumns;
  static constexpr int kTileRows = kVectorBytes == 64 ? kConvRows : kRows;

  // Where the positions of each unit lie: the first, how far the next is in the image, how many
  // they are. In a run, results' gradients (and planes of an image) are equally far apart.
  struct alignas(64) Table {
    int64_t image[kUnits], next[kUnits], grad[kUnits], count[kUnits], run[kUnits + 2];
    int64_t strip[kUnits];  // and in a packed strip
  };
  // Where a strip lies: its unit u at[u] behind `base`.
  struct Strip {
    const U* base;
    const int64_t* at;
  };
  // A part of a strip: where it lies in the image, its lanes, and how many of them are read.
  struct Piece {
    int64_t from;
    int lane, lanes, read;
  };

  const Operand &grad, &image;
  const ConvTaps* axis;
  int64_t share, columns_all;             // of a group: channels of the image; they and taps
  bool planes;                            // the image has its channels apart; there is one tap
  const S *grads, *images;                // of this item's rows; of its group
  int64_t m, n, first;                    // rows, columns, the first column
  int64_t lda, ldc;                       // of packed gradients, of sums
  int64_t units = 0, runs = 0, last = 0;  // of the block; the farthest of its positions
  Table& table;
  U *rows, *strip;
  A* sums;

  WeightTile(const Call& call, int64_t group, int64_t row, int64_t column, char* scratch)
      : grad(call.operand[1]),
        image(call.operand[2]),
        axis(reinterpret_cast<const ConvTaps*>(call.ints)),
        table(*reinterpret_cast<Table*>(scratch)) {
    const int64_t groups = call.ints[kConvGroups], each = grad.sizes[1] / groups;
    const int64_t tile_m = call.ints[kConvGroups + 1], tile_n = call.ints[kConvGroups + 2];
    share = image.sizes[4] / groups;
    columns_all = axis[0].taps * axis[1].taps * axis[2].taps * share;
    planes = image.strides[4] != 1 && share > 1;
    grads = grad.as<S>() + (group * each + row) * grad.strides[1];
    images = image.as<S>() + group * share * image.strides[4];
    m = each - row < tile_m ? each - row : tile_m;
    n = columns_all - column < tile_n ? columns_all - column : tile_n;
    first = column;
    lda = ((m + kLanes - 1) / kLanes | 1) * kLanes;  // no power of two
    ldc = (n + kColumns - 1) / kColumns * kColumns;
    strip = reinterpret_cast<U*>(scratch + sizeof(Table));
    rows = strip + kUnits * kColumns + kLanes;
    sums = reinterpret_cast<A*>(rows + kUnits * lda);
    for (int64_t i = 0; i < m * ldc; ++i) sums[i] = 0;
    for (int64_t u = 0; u < kUnits; ++u) table.strip[u] = u * kColumns;
  }

  // Units from position `p` on, before `end`; returns the first position that is left.
  int64_t find(int64_t p, int64_t end) {
    const int64_t *size = grad.sizes, *to = grad.strides, *from = image.strides;
    int64_t x = p % size[4], y = p / size[4] % size[3];
    int64_t z = p / size[4] / size[3] % size[2], i = p / size[4] / size[3] / size[2];
    const int64_t step = axis[2].stride * from[3];
    int64_t room = 0, before = 0, grad_before = 0;
    units = runs = last = 0;
    for (; p < end; ++p) {
      const int64_t at = i * from[0] + (z * axis[0].stride + axis[0].first) * from[1] +
                         (y * axis[1].stride + axis[1].first) * from[2] +
                         (x * axis[2].stride + axis[2].first) * from[3];
      const int64_t grad_at = i * to[0] + z * to[2] + y * to[3] + x * to[4];
      const bool follows =
          units && grad_at - grad_before == to[4] && (!planes || at - before == step);
      if (!follows) table.run[runs++] = units, room = 0;
      if (room) {
        table.next[units - 1] = at - before;
        ++table.count[units - 1], --room;
      } else {
        if (units == kUnits) break;
        table.image[units] = at, table.next[units] = 0, table.grad[units] = grad_at;
        table.count[units++] = 1, room = kPer - 1;
      }
      before = at, grad_before = grad_at;
      last = at > last ? at : last;
      if (++x < size[4]) continue;
      x = 0;
      if (++y < size[3]) continue;
      y = 0;
      if (++z == size[2]) z = 0, ++i;
    }
    table.run[runs] = units;
    return p;
  }

  // Calls f(first unit, positions) for runs.
  template <class F>
  TRN_INLINE void by_runs(F f) {
    for (int64_t r = 0; r < runs; ++r) {
      const int64_t begin = table.run[r], end = table.run[r + 1];
      if (end > begin) f(begin, (end - 1 - begin) * kPer + table.count[end - 1]);
    }
  }

  void pack_rows() {
    by_runs([&](int64_t unit, int64_t positions) {
      B::pack(rows + unit * lda, 1, lda, grads + table.grad[unit], m, positions, grad.strides[1],
              grad.strides[4]);
    });
  }

  // Columns [column, column + kColumns) of the group.
  Strip find_strip(int64_t column) {
    const Strip packed{strip, table.strip};
    const int64_t left = columns_all - column, width = left < kColumns ? left : kColumns;
    if (planes) {
      by_runs([&](int64_t unit, int64_t positions) {
        B::pack(strip + unit * kColumns, 1, kColumns,
                images + column * image.strides[4] + table.image[unit], width, positions,
                image.strides[4], axis[2].stride * image.strides[3]);
      });
      return packed;
    }
    Piece piece[kColumns];
    const int pieces = cut(column, width, piece);
    const bool one_run = pieces == 1 || (pieces == 2 && piece[0].lanes == kLanes &&
                                         piece[1].from == piece[0].from + kLanes);
    if constexpr (kPlain)
      if (one_run && piece[pieces - 1].read == kLanes) return {images + piece[0].from, table.image};
    const auto move = [&](int64_t u, const Piece& p) {
      *reinterpret_cast<UV*>(strip + u * kColumns + p.lane) =
          Math::across(images + table.image[u] + p.from, table.next[u], p.read, table.count[u]);
    };
    bool whole = true;
    for (int i = 0; i < pieces; ++i) whole = whole && piece[i].lanes == kLanes;
    if (whole)
      for (int i = 0; i < pieces; ++i)
        for (int64_t u = 0; u < units; ++u) move(u, piece[i]);
    else  // a piece is written over what the one before it wrote too much
      for (int64_t u = 0; u < units; ++u)
        for (int i = 0; i < pieces; ++i) move(u, piece[i]);
    return packed;
  }

  // Cuts columns in pieces that are dense in the image: channels of a tap, or of all taps of a line
  // where these are neighbours. Whole vectors are read as long as there is memory behind a piece.
  int cut(int64_t column, int64_t width, Piece* piece) const {
    const int64_t* s = image.strides;
    const bool joined = axis[2].step * s[3] == share && image.sizes[4] == share;
    int64_t end = 1;
    for (int d = 0; d < 5; ++d) end += (image.sizes[d] - 1) * s[d];
    end -= images - image.as<S>();
    int pieces = 0;
    for (int64_t j = 0; j < width;) {
      const int64_t channel = (column + j) % share, tap = (column + j) / share;
      const int64_t x = tap % axis[2].taps, y = tap / axis[2].taps % axis[1].taps;
      const int64_t z = tap / axis[2].taps / axis[1].taps;
      int64_t length = (joined ? axis[2].taps - x : 1) * share - channel;
      length = length < width - j ? length : width - j;
      const int64_t from = z * axis[0].step * s[1] + y * axis[1].step * s[2] +
                           x * axis[2].step * s[3] + channel * s[4];
      for (int64_t k = 0; k < length; k += kLanes) {
        const int lanes = static_cast<int>(length - k < kLanes ? length - k : kLanes);
        const bool room = last + from + k + kLanes <= end;
        piece[pieces++] = {from + k, static_cast<int>(j + k), lanes, room ? kLanes : lanes};
      }
      j += length;
    }
    return pieces;
  }

  // to[R][..] += R rows times V vectors of a strip. The next strip's often are the neighbours.
  template <int R, int V>
  static void multiply(const U* a, int64_t lda, Strip strip, int64_t units, A* to, int64_t ldc) {
    AV sum[R][V] = {};
    for (int64_t u = 0; u < units; ++u, a += lda) {
      const U* b = strip.base + strip.at[u];
      UV line[V];
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) {
        line[v] = *reinterpret_cast<const UV*>(b + v * kLanes);
        __builtin_prefetch(b + kColumns + v * kLanes);
      }
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
        for (int v = 0; v < V; ++v) sum[r][v] = Math::multiply(sum[r][v], line[v], a[r]);
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) *reinterpret_cast<AV*>(to + r * ldc + v * kLanes) += sum[r][v];
  }

  // All rows times a strip, in tiles of even height.
  template <int V, int... r>
  void multiply_strip(Strip with, A* to, std::integer_sequence<int, r...>) const {
    using Tile = void (*)(const U*, int64_t, Strip, int64_t, A*, int64_t);
    static constexpr Tile kTiles[] = {&multiply<r + 1, V>...};
    const int64_t tiles = (m + kTileRows - 1) / kTileRows;
    for (int64_t t = 0, row = 0; t < tiles; ++t) {
      const int64_t next = m * (t + 1) / tiles;
      kTiles[next - row - 1](rows + row, lda, with, units, to + row * ldc, ldc);
      row = next;
    }
  }

  void run(int64_t begin, int64_t end) {
    constexpr auto kSizes = std::make_integer_sequence<int, kTileRows>();
    while (begin < end) {
      begin = find(begin, end);
      pack_rows();
      for (int64_t j = 0; j < n; j += kColumns) {
        const Strip with = find_strip(first + j);
        if (n - j > kLanes) multiply_strip<kVectors>(with, sums + j, kSizes);
        else multiply_strip<1>(with, sums + j, kSizes);
      }
    }
  }
};

// operands: sums [chunks, channels, taps * channels of a group of the image] dense; results'
// gradients [n, channels, d, h, w] of any strides; image rows [n, d, h, w, groups * share] of any
// strides, those of channels 1 but where there is a single tap. ints: three ConvTaps, groups, then
// rows, columns and positions of an item (convolution_weight_tiles.h). Items are (chunk, group,
// rows, columns).
template <class Math>
void conv_weight(const Call& call, const Range& range) {
  using Tile = WeightTile<Math>;
  using A = typename Tile::A;
  const Operand &sums = call.operand[0], &grad = call.operand[1];
  const int64_t *ints = call.ints + kConvGroups, groups = ints[0];
  const int64_t each = sums.sizes[1] / groups, n = sums.sizes[2];
  const int64_t down = (each + ints[1] - 1) / ints[1], across = (n + ints[2] - 1) / ints[2];
  const int64_t all = grad.sizes[0] * grad.sizes[2] * grad.sizes[3] * grad.sizes[4];
  for (int64_t item = range.begin; item < range.end; ++item) {
    const int64_t column = item % across * ints[2], row = item / across % down * ints[1];
    const int64_t group = item / across / down % groups, chunk = item / across / down / groups;
    const int64_t begin = chunk * ints[3], end = begin + ints[3] < all ? begin + ints[3] : all;
    Tile tile(call, group, row, column, range.scratch);
    tile.run(begin, end);
    for (int64_t i = 0; i < tile.m; ++i)
      __builtin_memcpy(sums.as<A>() + (chunk * sums.sizes[1] + group * each + row + i) * n + column,
                       tile.sums + i * tile.ldc, tile.n * sizeof(A));
  }
}

}  // namespace
}  // namespace trn
