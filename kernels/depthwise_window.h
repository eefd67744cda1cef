// The window of a depthwise convolution: which taps meet which positions, either way.
#pragma once

#include "convolution_geometry.h"

namespace trn {

// ints of all depthwise kernels: kernel[3], stride[3], padding[3], dilation[3], and 1 for the
// transpose, where what is written is the convolution's image.
inline constexpr int kWindowInts = 13;

struct Window {
  const int64_t *kernel, *stride, *padding, *dilation;
  bool transposed;
  TRN_INLINE explicit Window(const int64_t* ints)
      : kernel(ints),
        stride(kernel + 3),
        padding(kernel + 6),
        dilation(kernel + 9),
        transposed(ints[12]) {}

  TRN_INLINE int64_t taps() const { return kernel[0] * kernel[1] * kernel[2]; }
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

}  // namespace trn
