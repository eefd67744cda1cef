// What describes a convolution, for the files that compute it.
#pragma once

#include "ops/op.h"

namespace trn::ops {

// A convolution in three dimensions; `in` and `out` are sizes of images and of results.
struct Conv {
  int64_t kernel[3], stride[3], padding[3], dilation[3], in[3], out[3];
  int64_t groups;

  int64_t taps() const { return kernel[0] * kernel[1] * kernel[2]; }
  bool is_pointwise() const {
    for (int d = 0; d < 3; ++d)
      if (kernel[d] != 1 || stride[d] != 1 || padding[d] != 0) return false;
    return true;
  }
  // How far the last tap lies from the first, in positions of one phase.
  int64_t reach(int d) const { return (kernel[d] - 1) * dilation[d] / stride[d]; }
};

// [n, c, d, h, w] as a matrix [n * volume, c] if its memory lies so, else undefined.
inline at::Tensor rows_of_channels(const at::Tensor& t) {
  const at::Tensor last = t.permute({0, 2, 3, 4, 1});
  return last.is_contiguous() ? last.view({-1, t.size(1)}) : at::Tensor();
}

// out = the convolution of image, or its transpose (image and out exchanged in `c`), where every
// channel is for itself; false where that is not so, of integers, and where there are more taps or
// longer lines than the kernels have room for. weight: [channels, 1, kernel...].
bool depthwise(const at::Tensor& out, const at::Tensor& image, const at::Tensor& weight,
               const at::Tensor& bias, const Conv& c, bool transposed);
bool depthwise_weight(const at::Tensor& grad_weight, const at::Tensor& grad_out,
                      const at::Tensor& image, const Conv& c);

// out = the convolution of image, or its transpose (image and out exchanged in `c`), by Winograd's
// algorithm; false where that does not apply or does not pay.
bool winograd(const at::Tensor& out, const at::Tensor& image, const at::Tensor& weight,
              const at::Tensor& bias, const Conv& c, bool transposed);
bool winograd_weight(const at::Tensor& grad_weight, const at::Tensor& grad_out,
                     const at::Tensor& image, const Conv& c);

// The gradient of a weight [co, ci / groups, kernel...], summed over all positions of the results.
void weight_gradient(const at::Tensor& grad_weight, const at::Tensor& grad_out,
                     const at::Tensor& image, const Conv& c);

}  // namespace trn::ops
