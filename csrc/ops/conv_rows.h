// Images as convolutions read them: channels last, with zeros around.
#pragma once

#include "ops/op.h"

namespace trn::ops {

// Where an image lies in its rows of channels: `before` positions of zeros come first (negative:
// what is cut off), `size` positions there are in all, along d, h and w. Every group of channels
// takes a multiple of `multiple` places, the last of them zero.
struct RowsShape {
  int64_t before[3], size[3];
  int64_t groups = 1, multiple = 1;
};

// The image [n, channels, d, h, w] as rows [n, size..., groups * places] of `type`: its own, or
// float32 for halves. Channels are dense; the other strides are any, since an image whose memory
// serves as it lies is not copied.
at::Tensor conv_rows(const at::Tensor& image, const RowsShape& shape, at::ScalarType type);

}  // namespace trn::ops
