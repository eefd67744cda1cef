// Transposed convolutions as plain ones: a part for each phase of the stride.
#include <numeric>

#include "ops/convolution.h"
#include "ops/convolution_direct.h"

namespace trn::ops {
namespace {

// One phase of one dimension of an image: the elements whose place in the padded image leaves
// remainder `phase` by the stride. `first` is the first of them, in the image; they get their
// sums from every `every`-th tap from `tap` on.
struct Phase {
  int64_t first, count, tap, every, taps;
};
Phase phase_of(const Conv& c, int d, int64_t phase) {
  const int64_t s = c.stride[d];
  Phase p{(phase - c.padding[d]) % s, 0, 0, s / std::gcd(s, c.dilation[d]), 0};
  if (p.first < 0) p.first += s;
  if (p.first < c.in[d]) p.count = (c.in[d] - 1 - p.first) / s + 1;
  while (p.tap < c.kernel[d] && p.tap * c.dilation[d] % s != phase) ++p.tap;
  if (p.tap < c.kernel[d]) p.taps = (c.kernel[d] - 1 - p.tap) / p.every + 1;
  return p;
}

}  // namespace

std::vector<ConvPart> transposed_parts(const at::Tensor& image, const at::Tensor& weight,
                                       const at::Tensor& bias, const Conv& c) {
  const int64_t g = c.groups, ci = image.size(1), co = weight.size(0), *k = c.kernel;
  const at::Tensor split = weight.reshape({g, co / g, ci / g, k[0], k[1], k[2]});
  std::vector<ConvPart> parts;
  bool all = true;
  for (int64_t phase = 0; phase < c.stride[0] * c.stride[1] * c.stride[2]; ++phase) {
    ConvPart part{image, split.transpose(1, 2), {}};
    int64_t rest = phase;
    for (int d = 2; d >= 0; --d) {
      const int64_t s = c.stride[d];
      const Phase p = phase_of(c, d, rest % s);
      rest /= s;
      part.out = part.out.slice(2 + d, std::min(p.first, c.in[d]), c.in[d], s);
      part.weight = part.weight.slice(3 + d, std::min(p.tap, c.kernel[d]), c.kernel[d], p.every);
      part.axis[d] = {p.taps, (p.first + c.padding[d]) / s - p.tap * c.dilation[d] / s,
                      -(p.every * c.dilation[d] / s), 1};
    }
    all = all && part.weight.numel() > 0;
    if (part.out.numel() && part.weight.numel()) parts.push_back(part);
  }
  if (!all) {  // some no tap meets
    if (bias.defined()) at::Tensor(image).copy_(bias.view({1, -1, 1, 1, 1}));
    else at::Tensor(image).zero_();
  }
  return parts;
}

}  // namespace trn::ops
