// Gradients of convolutions' weights: products of results' gradients and images over positions.
#include <ATen/ops/add.h>
#include <ATen/ops/empty.h>

#include "convolution_positions.h"
#include "convolution_weight_tiles.h"
#include "ops/conv_rows.h"
#include "ops/convolution.h"

namespace trn::ops {
namespace {

const Family conv_weight("conv_weight");

// The image as the kernel reads it, [n, d, h, w, channels]: channels are dense unless there is a
// single tap, that needs no zeros around the image.
at::Tensor image_rows(const at::Tensor& image, const Conv& c) {
  bool around = c.taps() > 1;
  for (int d = 0; d < 3; ++d) around = around || c.padding[d] > 0;
  if (!around) return image.permute({0, 2, 3, 4, 1});
  RowsShape shape{};
  for (int d = 0; d < 3; ++d) {
    shape.before[d] = c.padding[d];
    shape.size[d] = (c.out[d] - 1) * c.stride[d] + (c.kernel[d] - 1) * c.dilation[d] + 1;
  }
  return conv_rows(image, shape, image.scalar_type());
}

}  // namespace

void weight_gradient(const at::Tensor& grad_weight, const at::Tensor& grad_out,
                     const at::Tensor& image, const Conv& c) {
  const at::Tensor rows = image_rows(image, c);
  const int64_t co = grad_weight.size(0), m = co / c.groups, n = grad_weight.numel() / co;
  const WeightTiling t = weight_tiling(m, n, grad_out.numel() / co, c.groups);
  const at::Tensor sums = at::empty(
      {t.chunks, co, n}, image.options().dtype(stat_type(image)).memory_format(std::nullopt));
  Launch launch(conv_weight, dtype_of(image));
  launch.out(sums).in(grad_out).in(rows);
  for (int d = 0; d < 3; ++d) launch.ints({c.kernel[d], 0, c.dilation[d], c.stride[d]});
  launch.ints({c.groups, t.rows, t.columns, t.positions})
      .run(t.chunks * c.groups * t.down * t.across,
           grain_for(t.rows * t.columns * t.positions / 16));
  at::Tensor sum = sums.select(0, 0);
  for (int64_t k = 1; k < t.chunks; ++k) sum.add_(sums.select(0, k));
  const int64_t *k = c.kernel, share = grad_weight.size(1);
  at::Tensor(grad_weight).copy_(sum.view({co, k[0], k[1], k[2], share}).permute({0, 4, 1, 2, 3}));
}

}  // namespace trn::ops
