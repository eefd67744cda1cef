// Strips of rows of planes, and what kernels that pool them share.
//
// What is written is cut into strips, ints[15] columns of a row, and items are strips, so that one
// long row is shared among threads and what a strip meets fits in scratch.
#pragma once

#include "math.h"
#include "pool_vectors.h"
#include "pool_windows.h"
#include "rows.h"

namespace trn {
namespace {

// Lines in scratch have room for a register more at either end of each phase.
constexpr int64_t kRoom = 4 * kVectorBytes;

// Columns [x, x_end) of row (d, h) of a plane.
struct Strip {
  int64_t plane, d, h, x, x_end;
  Strip(const Call& call, const Operand& o, int64_t item) {
    const int64_t columns = call.ints[15], across = (o.sizes[4] + columns - 1) / columns;
    x = item % across * columns, item /= across;
    h = item % o.sizes[3], item /= o.sizes[3];
    d = item % o.sizes[2], plane = item / o.sizes[2];
    x_end = x + columns < o.sizes[4] ? x + columns : o.sizes[4];
  }
  int64_t columns() const { return x_end - x; }
  int64_t offset(const Operand& o) const {
    return trn::plane(o, plane) + d * o.strides[2] + h * o.strides[3] + x;
  }
};

// Lines of scratch, one after the other.
class Lines {
 public:
  explicit Lines(char* scratch) : next_(scratch) {}
  template <class T>
  T* line(int64_t numbers) {
    T* line = reinterpret_cast<T*>(next_);
    next_ += (numbers * static_cast<int64_t>(sizeof(T)) + kRoom + 63) / 64 * 64;
    return line;
  }

 private:
  char* next_;
};

// Brings together what lies two apart: from[2 j + r] comes to lie at to[r * pitch + j].
template <class A>
TRN_INLINE void part(const A* from, int64_t n, int64_t step, int64_t pitch, A* to) {
  if (step == 2) {
    int64_t j = 0;
    for (; 2 * j + 1 < n; ++j) to[j] = from[2 * j], to[pitch + j] = from[2 * j + 1];
    if (2 * j < n) to[j] = from[2 * j];
    return;
  }
  for (int64_t r = 0; r < step; ++r)
    for (int64_t j = 0; step * j + r < n; ++j) to[r * pitch + j] = from[step * j + r];
}

// What all strips of a call know of the last dimension.
struct Columns {
  int64_t kernel, step, padding, dilation, pitch;
  bool adaptive;
  Columns(const Call& call)
      : kernel(call.ints[2]),
        step(call.ints[5]),
        padding(call.ints[8]),
        dilation(call.ints[11]),
        pitch(kLine / (step ? step : 1) / 16 * 16 + 16),
        adaptive(call.ints[12]) {}
  // The input's numbers that windows [x, x_end) meet, with those outside of it.
  Cover reach(const Call& call, int64_t x, int64_t x_end, int64_t out, int64_t in) const {
    if (adaptive) {
      return {window_of(call, 2, x, out, in).begin, window_of(call, 2, x_end - 1, out, in).end};
    }
    return {x * step - padding, (x_end - 1) * step - padding + (kernel - 1) * dilation + 1};
  }
  int64_t tap(int64_t k) const { return k * dilation % step * pitch + k * dilation / step; }
};
TRN_INLINE Cover inside(Cover c, int64_t n) {
  return {c.begin > 0 ? c.begin : 0, c.end < n ? c.end : n};
}

}  // namespace
}  // namespace trn
