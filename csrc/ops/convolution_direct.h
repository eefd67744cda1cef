// Convolutions over rows of channels, for the operators that are made of them.
#pragma once

#include <vector>

#include "convolution_positions.h"
#include "ops/conv_rows.h"
#include "ops/convolution.h"

namespace trn::ops {

// out [n, co, d, h, w] = the sums over taps and channels of weight [groups, co / groups,
// ci / groups, kd, kh, kw] (of any strides) times an image. Steps of taps may be negative along
// all axes at once. There is at least one tap.
struct ConvPart {
  at::Tensor out, weight;
  ConvTaps axis[3];
};

// The positions of the image that the parts read.
RowsShape reach_of(const std::vector<ConvPart>& parts);

// Whether numbers of a type are multiplied as they are: others come as float32.
bool has_direct_kernel(at::ScalarType type);

// All parts over one image [n, ci, d, h, w], of which one copy is made at most. bias: [co] or
// undefined.
void convolve_direct(const std::vector<ConvPart>& parts, const at::Tensor& image,
                     const at::Tensor& bias, int64_t groups);

// image [n, ci, d, h, w] = the transpose of the convolution by weight [co, ci / groups, kd, kh,
// kw]: each phase of the image is a convolution with the taps that meet it, in reverse. Where no
// tap meets some phase, all of the image is written first.
std::vector<ConvPart> transposed_parts(const at::Tensor& image, const at::Tensor& weight,
                                       const at::Tensor& bias, const Conv& c);

// The right factor b [k, n] of many products, packed once, as a convolution's weight is, where each
// of them would have to.
class Factor {
 public:
  // `products` of them, of matrices with that many rows.
  Factor(const at::Tensor& b, int64_t rows, int64_t products);
  // out [rows, n] = a [rows, k] times b; both of its type, and rows of a are dense.
  void product(const at::Tensor& out, const at::Tensor& a) const;

 private:
  at::Tensor matrix_, packed_;
};

}  // namespace trn::ops
