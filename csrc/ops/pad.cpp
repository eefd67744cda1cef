// Padding by reflection and by repeating the edge, of one to three dimensions.
#include <ATen/OpMathType.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include "ops/elementwise.h"
#include "ops/five.h"
#include "ops/index.h"
#include "pad.structured.h"

namespace trn::ops {
namespace {

const Family pad("pad"), pad_backward("pad_backward");

// PyTorch gives pairs (before, after), the last dimension first.
std::array<int64_t, 4> ints_of(at::IntArrayRef padding, bool reflect) {
  std::array<int64_t, 4> ints{0, 0, 0, reflect};
  for (size_t d = 0; d < padding.size() / 2; ++d) ints[2 - d] = padding[2 * d];
  return ints;
}

void forward(const at::Tensor& self, at::IntArrayRef padding, bool reflect, const at::Tensor& out) {
  if (out.numel() == 0) return;
  const int spatial = static_cast<int>(padding.size()) / 2;
  const at::Tensor in = five(self, spatial), dst = five(out, spatial);
  Launch(pad, move_type(self.scalar_type()))
      .out(dst)
      .in(in)
      .ints(ints_of(padding, reflect))
      .run(dst.numel() / dst.size(4), grain_for(dst.size(4)));
}

void backward(const at::Tensor& grad_output, at::IntArrayRef padding, bool reflect,
              const at::Tensor& grad_input) {
  if (grad_input.numel() == 0) return;
  const int spatial = static_cast<int>(padding.size()) / 2;
  const at::ScalarType type = at::toOpMathType(grad_input.scalar_type());
  const at::Tensor grad = five(grad_output.to(type), spatial);
  const bool direct = type == grad_input.scalar_type();
  const at::Tensor sum =
      direct ? five(grad_input, spatial)
             : at::empty(five(grad_input, spatial).sizes(),
                         grad_input.options().dtype(type).memory_format(std::nullopt));
  sum.zero_();
  const int64_t planes = grad.size(0) * grad.size(1);
  Launch(pad_backward, dtype_of(type))
      .out(sum)
      .in(grad)
      .ints(ints_of(padding, reflect))
      .run(planes, grain_for(grad.numel() / planes * 3));
  at::Tensor target = grad_input;
  if (!direct) target.copy_(sum.view(target.sizes()));
}

at::Tensor& forward_2d(const at::Tensor& self, at::IntArrayRef padding, at::Tensor& out) {
  const int64_t h = self.size(-2), w = self.size(-1);
  TORCH_CHECK(self.dim() == 3 || self.dim() == 4,
              "Expected 3D or 4D (batch mode) tensor with possibly 0 batch size and other non-zero "
              "dimensions for input, but got: ",
              self.sizes());
  TORCH_CHECK(padding[0] < w && padding[1] < w,
              "Argument #4: Padding size should be less than the corresponding input dimension, "
              "but got: padding (",
              padding[0], ", ", padding[1], ") at dimension ", self.dim() - 1, " of input ",
              self.sizes());
  TORCH_CHECK(padding[2] < h && padding[3] < h,
              "Argument #6: Padding size should be less than the corresponding input dimension, "
              "but got: padding (",
              padding[2], ", ", padding[3], ") at dimension ", self.dim() - 2, " of input ",
              self.sizes());
  std::vector<int64_t> sizes = self.sizes().vec();
  sizes[self.dim() - 1] += padding[0] + padding[1];
  sizes[self.dim() - 2] += padding[2] + padding[3];
  out.resize_(sizes);
  forward(self, padding, true, out);
  return out;
}

}  // namespace

TRN_IMPL_FUNC(reflection_pad1d_out)
(const at::Tensor& self, at::IntArrayRef padding, const at::Tensor& out) {
  forward(self, padding, true, out);
}
TRN_IMPL_FUNC(reflection_pad1d_backward_grad_input)
(const at::Tensor& grad_output, const at::Tensor&, at::IntArrayRef padding,
 const at::Tensor& grad_input) {
  backward(grad_output, padding, true, grad_input);
}
at::Tensor& TRN_OP(reflection_pad2d_out)(const at::Tensor& self, at::IntArrayRef padding,
                                         at::Tensor& out) {
  return forward_2d(self, padding, out);
}
at::Tensor TRN_OP(reflection_pad2d)(const at::Tensor& self, at::IntArrayRef padding) {
  at::Tensor out = at::empty({0}, self.options());
  return forward_2d(self, padding, out);
}
at::Tensor& TRN_OP(reflection_pad2d_backward_grad_input)(const at::Tensor& grad_output,
                                                         const at::Tensor& self,
                                                         at::IntArrayRef padding,
                                                         at::Tensor& grad_input) {
  backward(grad_output, padding, true, grad_input.resize_as_(self));
  return grad_input;
}
at::Tensor TRN_OP(reflection_pad2d_backward)(const at::Tensor& grad_output, const at::Tensor& self,
                                             at::IntArrayRef padding) {
  at::Tensor grad_input = at::empty_like(self);
  backward(grad_output, padding, true, grad_input);
  return grad_input;
}
TRN_IMPL_FUNC(reflection_pad3d_out)
(const at::Tensor& self, at::IntArrayRef padding, const at::Tensor& out) {
  forward(self, padding, true, out);
}
TRN_IMPL_FUNC(reflection_pad3d_backward_grad_input)
(const at::Tensor& grad_output, const at::Tensor&, at::IntArrayRef padding,
 const at::Tensor& grad_input) {
  backward(grad_output, padding, true, grad_input);
}

TRN_IMPL_FUNC(replication_pad1d_out)
(const at::Tensor& self, at::IntArrayRef padding, const at::Tensor& out) {
  forward(self, padding, false, out);
}
TRN_IMPL_FUNC(replication_pad1d_backward_grad_input)
(const at::Tensor& grad_output, const at::Tensor&, at::IntArrayRef padding,
 const at::Tensor& grad_input) {
  backward(grad_output, padding, false, grad_input);
}
TRN_IMPL_FUNC(replication_pad2d_out)
(const at::Tensor& self, at::IntArrayRef padding, const at::Tensor& out) {
  forward(self, padding, false, out);
}
at::Tensor& TRN_OP(replication_pad2d_backward_grad_input)(const at::Tensor& grad_output,
                                                          const at::Tensor& self,
                                                          at::IntArrayRef padding,
                                                          at::Tensor& grad_input) {
  backward(grad_output, padding, false, grad_input.resize_as_(self));
  return grad_input;
}
at::Tensor TRN_OP(replication_pad2d_backward)(const at::Tensor& grad_output, const at::Tensor& self,
                                              at::IntArrayRef padding) {
  at::Tensor grad_input = at::empty_like(self);
  backward(grad_output, padding, false, grad_input);
  return grad_input;
}
TRN_IMPL_FUNC(replication_pad3d_out)
(const at::Tensor& self, at::IntArrayRef padding, const at::Tensor& out) {
  forward(self, padding, false, out);
}
at::Tensor& TRN_OP(replication_pad3d_backward_grad_input)(const at::Tensor& grad_output,
                                                          const at::Tensor& self,
                                                          at::IntArrayRef padding,
                                                          at::Tensor& grad_input) {
  backward(grad_output, padding, false, grad_input.resize_as_(self));
  return grad_input;
}
at::Tensor TRN_OP(replication_pad3d_backward)(const at::Tensor& grad_output, const at::Tensor& self,
                                              at::IntArrayRef padding) {
  at::Tensor grad_input = at::empty_like(self);
  backward(grad_output, padding, false, grad_input);
  return grad_input;
}

}  // namespace trn::ops
