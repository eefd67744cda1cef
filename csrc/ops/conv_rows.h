// Images as convolutions read them: channels last, with zeros around.
#pragma once

#include "ops/op.h"

namespace trn::ops {

// Where an image lies in its rows of channels: `before` positions of zeros come first (negative:
// what is cut off), `size` positions there are in all, along d, h and w.
struct RowsShape {
  int64_t before[3], size[3];
};

// The image [n, channels, d, h, w] as rows [n, size..., channels] of `type`: its own, or
// float32 for halves. Channels are dense; the other strides are any, since an image whose memory
// serves as it lies is not copied.
at::Tensor conv_rows(const at::Tensor& image, const RowsShape& shape, at::ScalarType type);

}  // namespace trn::ops
