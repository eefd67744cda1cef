// Lines side by side: complex elements of several lines between memory of any strides and planes of
// real and of imaginary parts in which the lines are neighbours.
#pragma once

#include "lines.h"
#include "transpose.h"

namespace trn {
namespace {

template <class R>
struct Planes {
  R *re, *im;
};

// Lanes beyond the last line repeat it when read.
template <class R>
struct Lanes {
  static constexpr int kMost = 8;
  static constexpr int64_t kChunk = 32;  // elements of each line that pass through `stage` at once
  using C = complex_t<R>;

  R* at[kMost];
  int64_t step, imaginary;  // from element to element, and from a real part to its imaginary part
  int64_t distance;         // from line to line, 0 where it is not the same for all
  int64_t count, lanes;
  bool rows;    // whether a line is dense and can be transposed in registers
  bool beside;  // whether elements of neighbouring lines are neighbours

  // `count` lines of an operand from `line` on, of complex numbers or of pairs of reals.
  TRN_INLINE Lanes(const Operand& o, bool complex, int64_t line, int64_t lines, int64_t side)
      : count(lines), lanes(side) {
    int64_t apart = 1;
    for (int64_t k = 0; k < side; ++k) {
      const int64_t l = line + (k < lines ? k : lines - 1);
      if (complex) {
        const Line<C> x = line_of<C>(o, l);
        at[k] = reinterpret_cast<R*>(x.data);
        apart = x.step;
      } else {
        const Line<R> x = line_of<R>(o, l);
        at[k] = x.data;
        apart = x.step;
      }
    }
    step = 2 * apart;
    imaginary = complex ? 1 : apart;
    distance = side > 1 ? at[1] - at[0] : 2;
    for (int64_t k = 2; k < side; ++k)
      if (at[k] - at[k - 1] != distance) distance = 0;
    beside = distance == 2 && imaginary == 1 && count == lanes;
    rows = step == 2 && imaginary == 1 && distance % 2 == 0 && distance && count == lanes;
  }

  // Elements [first, first + n), n <= kChunk, to or from to[k * lanes + lane].
  TRN_INLINE void read(int64_t first, int64_t n, Planes<R> to, C* stage) const {
    if (rows) {
      transpose_rows(at[0] + first * 2, distance / 2, stage, lanes, lanes, n);
    } else if (beside) {
      for (int64_t k = 0; k < n; ++k) copy_across(stage + k * lanes, at[0] + (first + k) * step);
    } else {
      for (int64_t k = 0; k < n; ++k)
        for (int64_t lane = 0; lane < lanes; ++lane) {
          const R* x = at[lane] + (first + k) * step;
          stage[k * lanes + lane] = C(x[0], x[imaginary]);
        }
    }
#pragma GCC ivdep
    for (int64_t i = 0; i < n * lanes; ++i) {
      to.re[i] = stage[i].re;
      to.im[i] = stage[i].im;
    }
  }
  TRN_INLINE void write(int64_t first, int64_t n, const C* stage) const {
    if (rows) return transpose_rows(stage, lanes, at[0] + first * 2, distance / 2, n, lanes);
    if (beside) {
      for (int64_t k = 0; k < n; ++k) copy_across(at[0] + (first + k) * step, stage + k * lanes);
      return;
    }
    for (int64_t k = 0; k < n; ++k)
      for (int64_t lane = 0; lane < count; ++lane) {
        R* x = at[lane] + (first + k) * step;
        x[0] = stage[k * lanes + lane].re;
        x[imaginary] = stage[k * lanes + lane].im;
      }
  }

 private:
  TRN_INLINE void copy_across(void* to, const void* from) const {
    if (lanes == kMost) __builtin_memcpy(to, from, kMost * sizeof(C));
    else __builtin_memcpy(to, from, lanes * sizeof(C));
  }
  TRN_INLINE static void transpose_rows(const void* from, int64_t ldf, void* to, int64_t ldt,
                                        int64_t n, int64_t columns) {
    transpose_any(static_cast<const char*>(from), ldf, static_cast<char*>(to), ldt, n, columns,
                  sizeof(C));
  }
};

}  // namespace
}  // namespace trn
