// How depthwise convolutions of planes are cut up, and the lines they copy; shared by the operator
// and the kernels.
//
// Lines that a block of results meets are copied to the first level as numbers of the kernel's type
// with zeros around them, those that a stride skips apart. There the edges are like everything
// else, and a tap of neighbouring results is a run of memory. A block has as many lines as that
// level holds beside what passes through: those at its edges are copied once more for the next.
#pragma once

#include "depthwise_window.h"

namespace trn {

inline constexpr int64_t kPlaneBytes = 32 << 10;  // of the lines of a block
inline constexpr int64_t kPlaneColumns = 512;     // results of a line in a block at most
inline constexpr int64_t kPlaneRoom = 16;  // lanes of a register, which may end behind a line

TRN_INLINE int64_t floor_part(int64_t a, int64_t b) { return (a < 0 ? a - b + 1 : a) / b; }

// Along lines. Results come in phases if transposed, the image's numbers if not: those that lie a
// stride apart follow each other.
struct PlaneLine {
  int64_t phases, step;  // of results, of the image
  int64_t low;           // of an image's phase, the first number copied for result 0 of a block
  int64_t length;        // numbers of a phase in a copy
  int64_t columns;       // results of a phase

  TRN_INLINE PlaneLine(const Window& w, int64_t wide) {
    const int64_t s = w.stride[2], pad = w.padding[2], reach = (w.kernel[2] - 1) * w.dilation[2];
    phases = w.transposed ? s : 1;
    step = w.transposed ? 1 : s;
    // Numbers of a line that begins with zeros begin where a register does.
    const int64_t least = floor_part(w.transposed ? pad - reach : -pad, s);
    low = floor_part(least, kPlaneRoom) * kPlaneRoom;
    columns = (wide + phases - 1) / phases;
    const int64_t most = least - low + columns + (reach + s - 1) / s + 2 + kPlaneRoom;
    length = (most / kPlaneRoom | 1) * kPlaneRoom;  // no power of two
    if (length < most) length += 2 * kPlaneRoom;
  }
  TRN_INLINE int64_t numbers() const { return step * length; }  // of a line's copy
  // Where in a line's copy the first result of a phase meets tap k; -1 if nowhere.
  TRN_INLINE int64_t meets(const Window& w, int64_t phase, int64_t k) const {
    const int64_t s = w.stride[2];
    const int64_t at =
        w.transposed ? phase + w.padding[2] - k * w.dilation[2] : k * w.dilation[2] - w.padding[2];
    const int64_t whole = floor_part(at, s), rest = at - whole * s;
    if (w.transposed && rest) return -1;
    return rest * length + whole - low;
  }
};

// Lines of the image that `rows` lines of results meet; the first of them for line y.
TRN_INLINE int64_t plane_lines(const Window& w, int64_t rows) {
  const int64_t s = w.stride[1], reach = (w.kernel[1] - 1) * w.dilation[1];
  return w.transposed ? (rows - 1 + reach) / s + 2 : (rows - 1) * s + reach + 1;
}
TRN_INLINE int64_t first_plane_line(const Window& w, int64_t y) {
  const int64_t pad = w.padding[1], reach = (w.kernel[1] - 1) * w.dilation[1];
  return w.transposed ? floor_part(y + pad - reach, w.stride[1]) : y * w.stride[1] - pad;
}

}  // namespace trn
