// How convolutions become matrix products without columns; shared by the operator and the kernels.
//
// The image is first copied to planes: padded with zeros and split into its phases, so that the
// elements a stride skips lie in planes of their own. On such a plane position q of the output and
// a tap of the kernel meet at q + (an offset of the tap): a row of the product's right factor is
// a run of memory. Rows of the output are as far apart as those of the plane; what falls between
// them is computed and dropped.
#pragma once

#include "kernel.h"

namespace trn {

// One spatial dimension. Tap k reads position first + k * step of the padded image; in phase
// (position % stride) it lies at position / stride. `grid` is the length of a phase.
struct ConvAxis {
  int64_t taps, first, step, stride, grid;
};
inline constexpr int kAxes = 3, kAxisInts = 5;

// The most channels of a group's results, and of channels * taps, of what slides along planes.
inline constexpr int64_t kNarrow = 4, kNarrowTaps = 2048;

// What depthwise kernels have room for: taps, and numbers of the lines that one output line meets.
inline constexpr int64_t kMostTaps = 512, kMostLineNumbers = kScratchBytes / 2 / sizeof(double);

// Elements of one channel's planes.
TRN_INLINE int64_t plane_size(const ConvAxis (&axes)[kAxes]) {
  int64_t size = 1;
  for (const ConvAxis& a : axes) size *= a.stride * a.grid;
  return size;
}

// Where the tap of that number meets position 0 of the output.
TRN_INLINE int64_t tap_offset(const ConvAxis (&axes)[kAxes], int64_t tap) {
  int64_t offset = 0, line = 1, phase = 1;
  for (const ConvAxis& a : axes) phase *= a.grid;  // of one phase's plane
  for (int d = kAxes - 1; d >= 0; --d) {
    const ConvAxis& a = axes[d];
    const int64_t at = a.first + tap % a.taps * a.step;
    tap /= a.taps;
    offset += at / a.stride * line + at % a.stride * phase;
    line *= a.grid;
    phase *= a.stride;
  }
  return offset;
}

}  // namespace trn
