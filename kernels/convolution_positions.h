// What describes a direct convolution, and the positions of its output, a block of them an item.
#pragma once

#include "kernel.h"

namespace trn {

// One spatial dimension: tap k of position i of the output reads position
// i * stride + first + k * step of the image.
struct ConvTaps {
  int64_t taps, first, step, stride;
};

// ints of conv_direct: three ConvTaps; groups; positions of an item; whether the taps of a line
// meet one run of the image's memory. Positions are counted over n, d, h and w of the output; a
// multiple of every register tile's rows but for the last item.
inline constexpr int kConvGroups = 12, kConvBlock = 13, kConvJoined = 14;
inline constexpr int64_t kConvPositions = 84;  // of an item at most
// Of a register tile: with 32 registers, 14 rows of two vectors leave room for a row of the other
// factor and one number.
inline constexpr int64_t kConvRows = 14;
inline constexpr int64_t kConvStrip = 32;  // channels of an item

// Channels of a group with those that fill its last strip.
TRN_INLINE int64_t padded(int64_t channels) {
  return (channels + kConvStrip - 1) / kConvStrip * kConvStrip;
}

namespace {

// Elements from the start of the image and of the output (of channel 0) to each position. Where the
// output's positions follow each other as along w, they are a run; run[k] is where the k-th begins.
struct alignas(64) PositionTables {
  int64_t in[kConvPositions], out[kConvPositions], run[kConvPositions + 4];
};

struct Positions {
  PositionTables& table;
  int64_t count = 0, runs = 0;

  explicit Positions(char* memory) : table(*reinterpret_cast<PositionTables*>(memory)) {}

  // Positions [begin, end).
  TRN_INLINE void find(const Operand& out, const Operand& rows, const ConvTaps* axis, int64_t begin,
                       int64_t end) {
    const int64_t *size = out.sizes, *to = out.strides, *from = rows.strides;
    int64_t x = begin % size[4], y = begin / size[4] % size[3];
    int64_t z = begin / size[4] / size[3] % size[2], n = begin / size[4] / size[3] / size[2];
    count = end - begin;
    runs = 0;
    for (int64_t i = 0; i < count;) {  // line by line
      const int64_t left = count - i, line = size[4] - x < left ? size[4] - x : left;
      const int64_t step = axis[2].stride * from[3];
      const int64_t first = n * from[0] + (z * axis[0].stride + axis[0].first) * from[1] +
                            (y * axis[1].stride + axis[1].first) * from[2] + x * step +
                            axis[2].first * from[3];
      const int64_t target = n * to[0] + z * to[2] + y * to[3] + x * to[4];
      if (i == 0 || target - table.out[i - 1] != to[4]) table.run[runs++] = i;
      for (int64_t j = 0; j < line; ++j) {
        table.in[i + j] = first + j * step;
        table.out[i + j] = target + j * to[4];
      }
      i += line;
      x = 0;
      if (++y < size[3]) continue;
      y = 0;
      if (++z == size[2]) z = 0, ++n;
    }
    table.run[runs] = count;
  }
};

}  // namespace
}  // namespace trn
