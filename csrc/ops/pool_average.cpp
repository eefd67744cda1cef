// Average pooling of two and three dimensions, plain and adaptive; one dimension comes through two.
#include <ATen/OpMathType.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include "ops/pool.h"
#include "pool_average.structured.h"

namespace trn::ops {
namespace {

const Family avg_pool("avg_pool"), avg_pool_backward("avg_pool_backward"),
    avg_pool_planes("avg_pool_planes"), avg_pool_planes_backward("avg_pool_planes_backward"),
    avg_pool_channels("avg_pool_channels"),
    avg_pool_channels_backward("avg_pool_channels_backward");

void run_avg(const at::Tensor& self, Windows w, int spatial, const at::Tensor& out) {
  if (out.numel() == 0) return;
  at::Tensor in = five(self, spatial);
  const at::Tensor y = five(out, spatial);
  const int64_t cost = w.volume(in, y);
  const Dense dense = dense_in(y, in, in);
  if (dense == Dense::columns && w.cut(in, y, false)) {
    Launch(avg_pool_planes, compute_type(self.scalar_type()))
        .out(y)
        .in(in)
        .ints(w.ints)
        .run(strips(y, w), grain_for(std::min(w.ints[15], y.size(4)) * cost));
  } else if (dense == Dense::channels) {
    Launch(avg_pool_channels, dtype_of(self))
        .out(y)
        .in(in)
        .ints(w.ints)
        .run(y.size(0) * y.size(2) * y.size(3), grain_for(y.size(1) * y.size(4) * cost / 4));
  } else {
    Launch(avg_pool, compute_type(self.scalar_type()))
        .out(y)
        .in(in)
        .ints(w.ints)
        .run(planes(in), grain_for(positions(y) * cost * 3));
  }
}

void run_avg_backward(const at::Tensor& grad, Windows w, int spatial,
                      const at::Tensor& grad_input) {
  if (grad_input.numel() == 0) return;
  if (grad.numel() == 0) {
    grad_input.zero_();
    return;
  }
  at::Tensor g = five(grad, spatial);
  const at::Tensor target = five(grad_input, spatial);
  const Dense dense = dense_in(target, g, target);
  if (dense == Dense::columns && w.cut(target, g, true)) {
    Launch(avg_pool_planes_backward, compute_type(target.scalar_type()))
        .out(target)
        .in(g)
        .ints(w.ints)
        .run(strips(target, w), grain_for(std::min(w.ints[15], target.size(4)) * 2));
    return;
  }
  if (dense == Dense::channels) {
    Launch(avg_pool_channels_backward, dtype_of(target))
        .out(target)
        .in(g)
        .ints(w.ints)
        .run(target.size(0) * target.size(2) * target.size(3),
             grain_for(target.size(1) * target.size(4)));
    return;
  }
  const at::Tensor sum =
      at::zeros(target.sizes(), grad_input.options()
                                    .dtype(at::toOpMathType(grad_input.scalar_type()))
                                    .memory_format(std::nullopt));
  Launch(avg_pool_backward, dtype_of(sum))
      .out(sum)
      .in(g)
      .ints(w.ints)
      .run(planes(g), grain_for(positions(g) * w.volume(target, g) * 3));
  at::Tensor to = grad_input;
  to.copy_(sum.view(to.sizes()));
}

Windows averaging(at::IntArrayRef kernel, at::IntArrayRef stride, at::IntArrayRef padding,
                  int spatial, bool count_include_pad, std::optional<int64_t> divisor) {
  Windows w = Windows::of(kernel, stride, padding, 1, spatial);
  w.ints[13] = count_include_pad;
  w.ints[14] = divisor.value_or(0);
  return w;
}

at::Tensor adaptive(const at::Tensor& self, at::IntArrayRef output_size, int spatial) {
  TORCH_CHECK(static_cast<int>(output_size.size()) == spatial, "adaptive_avg_pool", spatial,
              "d: output_size must be ", spatial);
  const int64_t ndim = self.dim();
  TORCH_CHECK(ndim == spatial + 1 || ndim == spatial + 2, "adaptive_avg_pool", spatial,
              "d(): Expected ", spatial + 1, "D or ", spatial + 2, "D tensor, but got ",
              self.sizes());
  std::vector<int64_t> sizes(self.sizes().begin(), self.sizes().end() - spatial);
  sizes.insert(sizes.end(), output_size.begin(), output_size.end());
  const at::Tensor out =
      at::empty(sizes, self.options().memory_format(self.suggest_memory_format()));
  run_avg(self, Windows::adaptive(self, output_size, spatial), spatial, out);
  return out;
}

at::Tensor adaptive_backward(const at::Tensor& grad, const at::Tensor& self, int spatial) {
  const at::Tensor out =
      at::empty(self.sizes(), self.options().memory_format(self.suggest_memory_format()));
  run_avg_backward(grad, Windows::adaptive(self, grad.sizes().slice(grad.dim() - spatial), spatial),
                   spatial, out);
  return out;
}

}  // namespace

TRN_IMPL_FUNC(avg_pool2d_out)
(const at::Tensor& self, int64_t kH, int64_t kW, int64_t dH, int64_t dW, int64_t padH, int64_t padW,
 bool, bool count_include_pad, std::optional<int64_t> divisor_override, const at::Tensor& out) {
  run_avg(self, averaging({kH, kW}, {dH, dW}, {padH, padW}, 2, count_include_pad, divisor_override),
          2, out);
}
TRN_IMPL_FUNC(avg_pool2d_backward_grad_input)
(const at::Tensor& grad_output, const at::Tensor&, at::IntArrayRef kernel_size,
 at::IntArrayRef stride, at::IntArrayRef padding, bool, bool count_include_pad,
 std::optional<int64_t> divisor_override, const at::Tensor& grad_input) {
  run_avg_backward(grad_output,
                   averaging(kernel_size, stride, padding, 2, count_include_pad, divisor_override),
                   2, grad_input);
}
TRN_IMPL_FUNC(avg_pool3d_out)
(const at::Tensor& self, at::IntArrayRef kernel_size, at::IntArrayRef stride,
 at::IntArrayRef padding, bool, bool count_include_pad, std::optional<int64_t> divisor_override,
 const at::Tensor& out) {
  run_avg(self, averaging(kernel_size, stride, padding, 3, count_include_pad, divisor_override), 3,
          out);
}
TRN_IMPL_FUNC(avg_pool3d_backward_grad_input)
(const at::Tensor& grad_output, const at::Tensor&, at::IntArrayRef kernel_size,
 at::IntArrayRef stride, at::IntArrayRef padding, bool, bool count_include_pad,
 std::optional<int64_t> divisor_override, const at::Tensor& grad_input) {
  run_avg_backward(grad_output,
                   averaging(kernel_size, stride, padding, 3, count_include_pad, divisor_override),
                   3, grad_input);
}

at::Tensor TRN_OP(_adaptive_avg_pool2d)(const at::Tensor& self, at::IntArrayRef output_size) {
  return adaptive(self, output_size, 2);
}
at::Tensor& TRN_OP(adaptive_avg_pool2d_out)(const at::Tensor& self, at::IntArrayRef output_size,
                                            at::Tensor& out) {
  const at::Tensor y = adaptive(self, output_size, 2);
  return out.resize_(y.sizes()).copy_(y);
}
at::Tensor TRN_OP(_adaptive_avg_pool2d_backward)(const at::Tensor& grad_output,
                                                 const at::Tensor& self) {
  return adaptive_backward(grad_output, self, 2);
}
at::Tensor TRN_OP(_adaptive_avg_pool3d)(const at::Tensor& self, at::IntArrayRef output_size) {
  return adaptive(self, output_size, 3);
}
at::Tensor& TRN_OP(adaptive_avg_pool3d_out)(const at::Tensor& self, at::IntArrayRef output_size,
                                            at::Tensor& out) {
  const at::Tensor y = adaptive(self, output_size, 3);
  return out.resize_(y.sizes()).copy_(y);
}
at::Tensor TRN_OP(_adaptive_avg_pool3d_backward)(const at::Tensor& grad_output,
                                                 const at::Tensor& self) {
  return adaptive_backward(grad_output, self, 3);
}

}  // namespace trn::ops
