// Max pooling of two and three dimensions, plain and adaptive; one dimension comes through two.
#include "ops/pool.h"

#include <ATen/OpMathType.h>
#include <ATen/native/Pool.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>

#include "pool.structured.h"

namespace trn::ops {
namespace {

const Family max_pool("max_pool"), max_pool_backward("max_pool_backward"),
    max_pool_planes("max_pool_planes"), max_pool_planes_backward("max_pool_planes_backward"),
    max_pool_channels("max_pool_channels"),
    max_pool_channels_backward("max_pool_channels_backward");

void run_max(const at::Tensor& self, Windows w, int spatial, const at::Tensor& out,
             const at::Tensor& indices) {
  if (out.numel() == 0) return;
  at::Tensor in = five(self, spatial);
  const at::Tensor y = five(out, spatial), x = five(indices, spatial);
  const int64_t cost = w.volume(in, y) * 2;
  Dense dense = dense_in(y, in, in);
  if (dense != dense_in(y, x)) dense = Dense::neither;
  if (dense == Dense::columns && w.cut(in, y, false)) {
    Launch(max_pool_planes, compute_type(self.scalar_type()))
        .out(y)
        .out(x)
        .in(in)
        .ints(w.ints)
        .run(strips(y, w), grain_for(std::min(w.ints[15], y.size(4)) * cost));
  } else if (dense == Dense::channels) {
    Launch(max_pool_channels, dtype_of(self))
        .out(y)
        .out(x)
        .in(in)
        .ints(w.ints)
        .run(y.size(0) * y.size(2) * y.size(3), grain_for(y.size(1) * y.size(4) * cost / 4));
  } else {
    Launch(max_pool, compute_type(self.scalar_type()))
        .out(y)
        .out(x)
        .in(in)
        .ints(w.ints)
        .run(planes(in), grain_for(positions(y) * cost * 2));
  }
}

void run_max_backward(const at::Tensor& grad, const at::Tensor& indices, const Windows& w,
                      int spatial, const at::Tensor& grad_input) {
  if (grad_input.numel() == 0) return;
  const at::Tensor target = five(grad_input, spatial);
  if (grad.numel() == 0) {
    grad_input.zero_();
    return;
  }
  at::Tensor g = five(grad, spatial), x = five(indices, spatial);
  if (dense_in(target, target) == Dense::channels &&
      dense_in(target, g, target) == Dense::channels &&
      dense_in(target, x, target) == Dense::channels) {
    Launch(max_pool_channels_backward, dtype_of(target))
        .out(target)
        .in(g)
        .in(x)
        .ints(w.ints)
        .run(target.size(0) * target.size(2) * target.size(3),
             grain_for(target.size(1) * target.size(4)));
    return;
  }
  g = g.contiguous(), x = x.contiguous();
  const at::ScalarType type = at::toOpMathType(grad_input.scalar_type());
  const bool fits = type == grad_input.scalar_type() ||
                    positions(target) * static_cast<int64_t>(sizeof(float)) <= kScratchBytes;
  if (target.is_contiguous() && fits) {
    Launch(max_pool_planes_backward, dtype_of(type))
        .out(target)
        .in(g)
        .in(x)
        .run(planes(g), grain_for(positions(g) * 4 + positions(target) / 4));
    return;
  }
  const at::Tensor sum =
      at::zeros(target.sizes(), grad_input.options().dtype(type).memory_format(std::nullopt));
  Launch(max_pool_backward, dtype_of(sum))
      .out(sum)
      .in(g)
      .in(x)
      .run(planes(g), grain_for(positions(g) * 4));
  at::Tensor to = grad_input;
  to.copy_(sum.view(to.sizes()));
}

}  // namespace

TRN_IMPL_FUNC(max_pool2d_with_indices_out)
(const at::Tensor& self, at::IntArrayRef kernel_size, at::IntArrayRef stride,
 at::IntArrayRef padding, at::IntArrayRef dilation, bool, const at::Tensor& out,
 const at::Tensor& indices) {
  run_max(self, Windows::of(kernel_size, stride, padding, dilation, 2), 2, out, indices);
}
TRN_IMPL_FUNC(max_pool2d_with_indices_backward_grad_input)
(const at::Tensor& grad_output, const at::Tensor&, at::IntArrayRef kernel_size,
 at::IntArrayRef stride, at::IntArrayRef padding, at::IntArrayRef dilation, bool,
 const at::Tensor& indices, const at::Tensor& grad_input) {
  run_max_backward(grad_output, indices, Windows::of(kernel_size, stride, padding, dilation, 2), 2,
                   grad_input);
}

std::tuple<at::Tensor&, at::Tensor&> TRN_OP(max_pool3d_with_indices_out)(
    const at::Tensor& self, at::IntArrayRef kernel_size, at::IntArrayRef stride,
    at::IntArrayRef padding, at::IntArrayRef dilation, bool ceil_mode, at::Tensor& out,
    at::Tensor& indices) {
  const Windows w = Windows::of(kernel_size, stride, padding, dilation, 3);
  TORCH_CHECK(self.dim() == 4 || self.dim() == 5,
              "non-empty 4D or 5D (batch mode) tensor expected for input");
  std::vector<int64_t> sizes(self.sizes().begin(), self.sizes().end() - 3);
  for (int d = 0; d < 3; ++d)
    sizes.push_back(at::native::pooling_output_shape<int64_t>(
        self.size(self.dim() - 3 + d), w.ints[d], w.ints[6 + d], w.ints[3 + d], w.ints[9 + d],
        ceil_mode));
  const auto window = [&](int i) { return static_cast<int>(w.ints[i]); };
  const int64_t* in = &self.sizes().end()[-4];
  const int64_t* made = &sizes.end()[-4];
  at::native::pool3d_shape_check(self, in[0], window(0), window(1), window(2), window(3), window(4),
                                 window(5), window(6), window(7), window(8), window(9), window(10),
                                 window(11), in[1], in[2], in[3], made[1], made[2], made[3],
                                 "max_pool3d_with_indices_out()");
  const at::MemoryFormat format =
      self.dim() == 5 ? self.suggest_memory_format() : at::MemoryFormat::Contiguous;
  out.resize_(sizes, format);
  indices.resize_(sizes, format);
  run_max(self, w, 3, out, indices);
  return {out, indices};
}
std::tuple<at::Tensor, at::Tensor> TRN_OP(max_pool3d_with_indices)(
    const at::Tensor& self, at::IntArrayRef kernel_size, at::IntArrayRef stride,
    at::IntArrayRef padding, at::IntArrayRef dilation, bool ceil_mode) {
  at::Tensor out = at::empty({0}, self.options()),
             indices = at::empty({0}, self.options().dtype(at::kLong));
  ops::max_pool3d_with_indices_out(self, kernel_size, stride, padding, dilation, ceil_mode, out,
                                   indices);
  return {out, indices};
}
at::Tensor& TRN_OP(max_pool3d_with_indices_backward_grad_input)(
    const at::Tensor& grad_output, const at::Tensor& self, at::IntArrayRef kernel_size,
    at::IntArrayRef stride, at::IntArrayRef padding, at::IntArrayRef dilation, bool,
    const at::Tensor& indices, at::Tensor& grad_input) {
  grad_input.resize_as_(self);
  run_max_backward(grad_output, indices, Windows::of(kernel_size, stride, padding, dilation, 3), 3,
                   grad_input);
  return grad_input;
}
at::Tensor TRN_OP(max_pool3d_with_indices_backward)(const at::Tensor& grad_output,
                                                    const at::Tensor& self,
                                                    at::IntArrayRef kernel_size,
                                                    at::IntArrayRef stride, at::IntArrayRef padding,
                                                    at::IntArrayRef dilation, bool ceil_mode,
                                                    const at::Tensor& indices) {
  at::Tensor grad_input = at::empty_like(self);
  return ops::max_pool3d_with_indices_backward_grad_input(
      grad_output, self, kernel_size, stride, padding, dilation, ceil_mode, indices, grad_input);
}

TRN_IMPL_FUNC(adaptive_max_pool2d_out)
(const at::Tensor& self, at::IntArrayRef output_size, const at::Tensor& out,
 const at::Tensor& indices) {
  run_max(self, Windows::adaptive(self, output_size, 2), 2, out, indices);
}
TRN_IMPL_FUNC(adaptive_max_pool2d_backward_grad_input)
(const at::Tensor& grad_output, const at::Tensor& self, const at::Tensor& indices,
 const at::Tensor& grad_input) {
  const at::IntArrayRef made = grad_output.sizes().slice(grad_output.dim() - 2);
  run_max_backward(grad_output, indices, Windows::adaptive(self, made, 2), 2, grad_input);
}
TRN_IMPL_FUNC(adaptive_max_pool3d_out)
(const at::Tensor& self, at::IntArrayRef output_size, const at::Tensor& out,
 const at::Tensor& indices) {
  run_max(self, Windows::adaptive(self, output_size, 3), 3, out, indices);
}
TRN_IMPL_FUNC(adaptive_max_pool3d_backward_grad_input)
(const at::Tensor& grad_output, const at::Tensor& self, const at::Tensor& indices,
 const at::Tensor& grad_input) {
  const at::IntArrayRef made = grad_output.sizes().slice(grad_output.dim() - 3);
  run_max_backward(grad_output, indices, Windows::adaptive(self, made, 3), 3, grad_input);
}

}  // namespace trn::ops
