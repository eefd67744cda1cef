// grid_sampler of images and volumes, and its gradients.
#include <ATen/OpMathType.h>
#include <ATen/native/GridSamplerUtils.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include "ops/elementwise.h"

namespace trn::ops {
namespace {

const Family grid_sample("grid_sample"), grid_sample_backward("grid_sample_backward"),
    grid_sample_backward_grid("grid_sample_backward_grid");

using Mask = std::array<bool, 2>;

// Tensors as the kernels take them: five dimensions, points in a row, computing type.
struct Sampling {
  std::array<int64_t, 3> ints;
  at::ScalarType type;
  at::Tensor image, grid;
  int64_t cost;  // of one point and channel

  Sampling(const at::Tensor& input, const at::Tensor& points, int64_t spatial,
           int64_t interpolation, int64_t padding, bool align)
      : ints{interpolation, padding, align} {
    at::native::check_grid_sampler_common(input, points);
    if (spatial == 2) at::native::check_grid_sampler_2d(input, points);
    else at::native::check_grid_sampler_3d(input, points, interpolation);
    TORCH_CHECK(input.scalar_type() == points.scalar_type(), "expected scalar type ",
                input.scalar_type(), " but found ", points.scalar_type());
    TORCH_CHECK_NOT_IMPLEMENTED(at::isFloatingType(input.scalar_type()),
                                "\"grid_sampler_trn\" not implemented for '",
                                toString(input.scalar_type()), "'");
    type = at::toOpMathType(input.scalar_type());
    image = input.to(type);
    if (image.dim() == 4) image = image.unsqueeze(2);
    const int64_t batch = std::max<int64_t>(1, points.size(0)) * spatial;
    grid = points.to(type).reshape({points.size(0), points.numel() / batch, spatial}).contiguous();
    cost = interpolation == 2 ? 40 : interpolation == 1 ? 4 : 8 * spatial;
  }
  int64_t points() const { return grid.size(0) * grid.size(1); }
};

at::Tensor forward(const at::Tensor& input, const at::Tensor& grid, int64_t spatial,
                   int64_t interpolation, int64_t padding, bool align) {
  const Sampling s(input, grid, spatial, interpolation, padding, align);
  std::vector<int64_t> sizes{input.size(0), input.size(1)};
  sizes.insert(sizes.end(), grid.sizes().begin() + 1, grid.sizes().end() - 1);
  const auto options = input.options().memory_format(std::nullopt);
  const at::Tensor out = at::empty(sizes, options.dtype(s.type));
  if (out.numel())
    Launch(grid_sample, dtype_of(s.type))
        .out(out.view({sizes[0], sizes[1], s.grid.size(1)}))
        .in(s.image)
        .in(s.grid)
        .ints(s.ints)
        .run(s.points(), grain_for(sizes[1] * s.cost + 100));
  return out.to(input.scalar_type());
}

std::tuple<at::Tensor, at::Tensor> backward(const at::Tensor& grad_output, const at::Tensor& input,
                                            const at::Tensor& grid, int64_t spatial,
                                            int64_t interpolation, int64_t padding, bool align,
                                            Mask mask) {
  const Sampling s(input, grid, spatial, interpolation, padding, align);
  const auto options = input.options().memory_format(std::nullopt).dtype(s.type);
  const int64_t channels = input.size(1);
  const at::Tensor grad =
      grad_output.to(s.type).contiguous().view({input.size(0), channels, s.grid.size(1)});
  at::Tensor grad_input, grad_grid;
  if (mask[0]) {
    grad_input = at::zeros(input.sizes(), options);
    const at::Tensor five = grad_input.dim() == 4 ? grad_input.unsqueeze(2) : grad_input;
    if (grad.numel())
      Launch(grid_sample_backward, dtype_of(s.type))
          .out(five)
          .in(grad)
          .in(s.grid)
          .ints(s.ints)
          .run(five.size(0) * channels, grain_for(s.grid.size(1) * s.cost));
    grad_input = grad_input.to(input.scalar_type());
  }
  if (mask[1]) {
    grad_grid = at::zeros(grid.sizes(), options);
    if (grad.numel())
      Launch(grid_sample_backward_grid, dtype_of(s.type))
          .out(grad_grid.view(s.grid.sizes()))
          .in(grad)
          .in(s.image)
          .in(s.grid)
          .ints(s.ints)
          .run(s.points(), grain_for(channels * s.cost * 2 + 100));
    grad_grid = grad_grid.to(grid.scalar_type());
  }
  return {grad_input, grad_grid};
}

}  // namespace

at::Tensor TRN_OP(grid_sampler_2d)(const at::Tensor& input, const at::Tensor& grid,
                                   int64_t interpolation_mode, int64_t padding_mode,
                                   bool align_corners) {
  return forward(input, grid, 2, interpolation_mode, padding_mode, align_corners);
}
std::tuple<at::Tensor, at::Tensor> TRN_OP(grid_sampler_2d_backward)(
    const at::Tensor& grad_output, const at::Tensor& input, const at::Tensor& grid,
    int64_t interpolation_mode, int64_t padding_mode, bool align_corners, Mask output_mask) {
  return backward(grad_output, input, grid, 2, interpolation_mode, padding_mode, align_corners,
                  output_mask);
}
at::Tensor TRN_OP(grid_sampler_3d)(const at::Tensor& input, const at::Tensor& grid,
                                   int64_t interpolation_mode, int64_t padding_mode,
                                   bool align_corners) {
  return forward(input, grid, 3, interpolation_mode, padding_mode, align_corners);
}
std::tuple<at::Tensor, at::Tensor> TRN_OP(grid_sampler_3d_backward)(
    const at::Tensor& grad_output, const at::Tensor& input, const at::Tensor& grid,
    int64_t interpolation_mode, int64_t padding_mode, bool align_corners, Mask output_mask) {
  return backward(grad_output, input, grid, 3, interpolation_mode, padding_mode, align_corners,
                  output_mask);
}

}  // namespace trn::ops
