// Which convolutions Winograd's algorithm computes, and how their tiles lie.
#pragma once

#include "ops/convolution.h"
#include "winograd_geometry.h"

namespace trn::ops {

struct Winograd {
  WinogradShape shape;
  int64_t taps[2];  // of a phase along y and x
  int64_t columns;  // of weights of a phase of the results
  bool pays = false;
};

// For the convolution of `image` giving `results`, or its transpose (the two exchanged in `c`).
// `pays` where it applies and is the faster way.
Winograd plan_winograd(const Conv& c, const at::Tensor& image, const at::Tensor& results,
                       bool transposed);

// Planes of results of an item: all, if there are blocks of tiles enough for threads.
int64_t planes_of_item(int64_t planes, int64_t blocks);

// Whether the sums of a weight's gradient stay in the second level and its tiles in scratch.
bool sums_stay(const WinogradShape& shape, int64_t ci, int64_t co);

}  // namespace trn::ops
