// Max and average pooling of two and three dimensions, plain and adaptive; one dimension comes
// through two.
#include <ATen/OpMathType.h>
#include <ATen/native/Pool.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/mean.h>
#include <ATen/ops/zeros.h>

#include "ops/elementwise.h"
#include "pool.structured.h"

namespace trn::ops {
namespace {

const Family max_pool("max_pool"), max_pool_backward("max_pool_backward"), avg_pool("avg_pool"),
    avg_pool_backward("avg_pool_backward");

struct Windows {
  std::array<int64_t, 15> ints{};

  static Windows adaptive() {
    Windows w;
    w.ints[12] = 1;
    return w;
  }
  static Windows of(at::IntArrayRef kernel, at::IntArrayRef stride, at::IntArrayRef padding,
                    at::IntArrayRef dilation, int spatial) {
    Windows w;
    for (int d = 0; d < 3; ++d) {
      const int k = d - (3 - spatial);
      const auto pick = [&](at::IntArrayRef a, int64_t otherwise) {
        return k < 0 ? otherwise : a.size() == 1 ? a[0] : a[k];
      };
      w.ints[d] = pick(kernel, 1);
      w.ints[3 + d] = stride.empty() ? pick(kernel, 1) : pick(stride, 1);
      w.ints[6 + d] = pick(padding, 0);
      w.ints[9 + d] = pick(dilation, 1);
    }
    return w;
  }
  int64_t volume(const at::Tensor& in, const at::Tensor& out) const {
    if (ints[12]) return std::max<int64_t>(1, in.numel() / std::max<int64_t>(1, out.numel()));
    return ints[0] * ints[1] * ints[2];
  }
};

// [batch, channels, d, h, w] of a tensor with `spatial` dimensions, batched or not.
at::Tensor five(const at::Tensor& t, int spatial) {
  at::Tensor v = t.dim() == spatial + 1 ? t.unsqueeze(0) : t;
  while (v.dim() < 5) v = v.unsqueeze(2);
  return v;
}

int64_t planes(const at::Tensor& t) { return t.size(0) * t.size(1); }

void run_max(const at::Tensor& self, const Windows& w, int spatial, const at::Tensor& out,
             const at::Tensor& indices) {
  if (out.numel() == 0) return;
  const at::Tensor in = five(self, spatial);
  // Indices are laid out as the output, so that one walk serves both.
  const at::Tensor y = at::empty_like(five(out, spatial), at::MemoryFormat::Contiguous);
  const at::Tensor x = at::empty(y.sizes(), indices.options().memory_format(std::nullopt));
  Launch(max_pool, compute_type(self.scalar_type()))
      .out(y)
      .out(x)
      .in(in)
      .ints(w.ints)
      .run(planes(in), grain_for(y.numel() / planes(in) * w.volume(in, y) * 4));
  at::Tensor target = five(out, spatial), at = five(indices, spatial);
  target.copy_(y);
  at.copy_(x);
}

void run_max_backward(const at::Tensor& grad, const at::Tensor& indices, int spatial,
                      const at::Tensor& grad_input) {
  at::Tensor target = grad_input;
  if (grad_input.numel() == 0) return;
  const at::Tensor g = five(grad, spatial).contiguous(), x = five(indices, spatial).contiguous();
  const at::Tensor shape = five(grad_input, spatial);
  const at::Tensor sum =
      at::zeros(shape.sizes(), grad_input.options()
                                   .dtype(at::toOpMathType(grad_input.scalar_type()))
                                   .memory_format(std::nullopt));
  if (g.numel())
    Launch(max_pool_backward, dtype_of(sum))
        .out(sum)
        .in(g)
        .in(x)
        .run(planes(g), grain_for(g.numel() / planes(g) * 4));
  target.copy_(sum.view(target.sizes()));
}

void run_avg(const at::Tensor& self, const Windows& w, int spatial, const at::Tensor& out) {
  if (out.numel() == 0) return;
  const at::Tensor in = five(self, spatial), y = five(out, spatial);
  Launch(avg_pool, compute_type(self.scalar_type()))
      .out(y)
      .in(in)
      .ints(w.ints)
      .run(planes(in), grain_for(y.numel() / planes(in) * w.volume(in, y) * 3));
}

void run_avg_backward(const at::Tensor& grad, const Windows& w, int spatial,
                      const at::Tensor& grad_input) {
  at::Tensor target = grad_input;
  if (grad_input.numel() == 0) return;
  const at::Tensor g = five(grad, spatial), shape = five(grad_input, spatial);
  const at::Tensor sum =
      at::zeros(shape.sizes(), grad_input.options()
                                   .dtype(at::toOpMathType(grad_input.scalar_type()))
                                   .memory_format(std::nullopt));
  if (g.numel())
    Launch(avg_pool_backward, dtype_of(sum))
        .out(sum)
        .in(g)
        .ints(w.ints)
        .run(planes(g), grain_for(g.numel() / planes(g) * w.volume(shape, g) * 3));
  target.copy_(sum.view(target.sizes()));
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
  const at::Tensor out = at::empty(sizes, self.options().memory_format(std::nullopt));
  run_avg(self, Windows::adaptive(), spatial, out);
  return out.contiguous(self.suggest_memory_format());
}

at::Tensor adaptive_backward(const at::Tensor& grad, const at::Tensor& self, int spatial) {
  const at::Tensor out = at::empty_like(self);
  run_avg_backward(grad, Windows::adaptive(), spatial, out);
  return out;
}

}  // namespace

TRN_IMPL_FUNC(max_pool2d_with_indices_out)
(const at::Tensor& self, at::IntArrayRef kernel_size, at::IntArrayRef stride,
 at::IntArrayRef padding, at::IntArrayRef dilation, bool, const at::Tensor& out,
 const at::Tensor& indices) {
  run_max(self, Windows::of(kernel_size, stride, padding, dilation, 2), 2, out, indices);
}
TRN_IMPL_FUNC(max_pool2d_with_indices_backward_grad_input)
(const at::Tensor& grad_output, const at::Tensor&, at::IntArrayRef, at::IntArrayRef,
 at::IntArrayRef, at::IntArrayRef, bool, const at::Tensor& indices, const at::Tensor& grad_input) {
  run_max_backward(grad_output, indices, 2, grad_input);
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
  out.resize_(sizes);
  indices.resize_(sizes);
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
    const at::Tensor& grad_output, const at::Tensor& self, at::IntArrayRef, at::IntArrayRef,
    at::IntArrayRef, at::IntArrayRef, bool, const at::Tensor& indices, at::Tensor& grad_input) {
  grad_input.resize_as_(self);
  run_max_backward(grad_output, indices, 3, grad_input);
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

TRN_IMPL_FUNC(adaptive_max_pool2d_out)
(const at::Tensor& self, at::IntArrayRef, const at::Tensor& out, const at::Tensor& indices) {
  run_max(self, Windows::adaptive(), 2, out, indices);
}
TRN_IMPL_FUNC(adaptive_max_pool2d_backward_grad_input)
(const at::Tensor& grad_output, const at::Tensor&, const at::Tensor& indices,
 const at::Tensor& grad_input) {
  run_max_backward(grad_output, indices, 2, grad_input);
}
TRN_IMPL_FUNC(adaptive_max_pool3d_out)
(const at::Tensor& self, at::IntArrayRef, const at::Tensor& out, const at::Tensor& indices) {
  run_max(self, Windows::adaptive(), 3, out, indices);
}
TRN_IMPL_FUNC(adaptive_max_pool3d_backward_grad_input)
(const at::Tensor& grad_output, const at::Tensor&, const at::Tensor& indices,
 const at::Tensor& grad_input) {
  run_max_backward(grad_output, indices, 3, grad_input);
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
