// max_unpool and fractional max pooling.
#include <ATen/OpMathType.h>
#include <ATen/native/FractionalMaxPooling.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>

#include "ops/elementwise.h"
#include "ops/five.h"
#include "ops/index.h"
#include "unpool.structured.h"

namespace trn::ops {
namespace {

const Family max_unpool("max_unpool"), fractional_max_pool("fractional_max_pool"),
    max_pool_backward("max_pool_backward");

// Checks that two and three dimensions share, but for their words.
void check_unpool(const at::Tensor& self, const at::Tensor& indices, int64_t spatial) {
  TORCH_CHECK(self.dim() == spatial + 1 || self.dim() == spatial + 2, "Input to max_unpooling",
              spatial, "d should be a ", spatial + 1, "d or ", spatial + 2,
              "d Tensor, but got a tensor with ", self.dim(), " dimensions.");
  TORCH_CHECK(self.sizes() == indices.sizes(),
              "Expected shape of indices to be same as that of the input tensor (", self.sizes(),
              ") but got indices tensor with shape: ", indices.sizes());
  for (int64_t d = 1; d < self.dim(); ++d)
    TORCH_CHECK(self.size(d) > 0, "max_unpooling", spatial,
                "d_forward_out(): Expected input to have non-zero size for non-batch dimensions, "
                "but got ",
                self.sizes(), " with dimension ", d, " being empty.");
}

at::Tensor& unpool(const at::Tensor& self, const at::Tensor& indices, at::IntArrayRef output_size,
                   at::Tensor& out) {
  TORCH_CHECK_NOT_IMPLEMENTED(!self.is_complex() && self.scalar_type() != at::kBool,
                              "\"max_unpool_trn\" not implemented for '",
                              toString(self.scalar_type()), "'");
  const int64_t spatial = static_cast<int64_t>(output_size.size());
  std::vector<int64_t> sizes(self.sizes().begin(), self.sizes().end() - spatial);
  int64_t planes = 1;
  for (int64_t n : sizes) planes *= n;
  sizes.insert(sizes.end(), output_size.begin(), output_size.end());
  const at::Tensor y = at::zeros(sizes, self.options().memory_format(std::nullopt));
  if (self.numel()) {
    const at::Tensor x = self.contiguous().view({planes, -1}),
                     at = indices.contiguous().view({planes, -1});
    Launch(max_unpool, move_type(self.scalar_type()))
        .out(y.view({planes, -1}))
        .in(x)
        .in(at)
        .may_fault()
        .run(planes, grain_for(x.size(1) * 3));
  }
  out.resize_(sizes, self.suggest_memory_format());
  return out.copy_(y);
}

}  // namespace

at::Tensor& TRN_OP(max_unpool2d_out)(const at::Tensor& self, const at::Tensor& indices,
                                     at::IntArrayRef output_size, at::Tensor& out) {
  TORCH_CHECK(indices.scalar_type() == at::kLong,
              "elements in indices should be type int64 but got: ", indices.scalar_type());
  TORCH_CHECK(output_size.size() == 2,
              "There should be exactly two elements (height, width) in output_size, but got ",
              output_size.size(), " elements.");
  check_unpool(self, indices, 2);
  return unpool(self, indices, output_size, out);
}
at::Tensor TRN_OP(max_unpool2d)(const at::Tensor& self, const at::Tensor& indices,
                                at::IntArrayRef output_size) {
  at::Tensor out = at::empty({0}, self.options());
  return ops::max_unpool2d_out(self, indices, output_size, out);
}
at::Tensor& TRN_OP(max_unpool3d_out)(const at::Tensor& self, const at::Tensor& indices,
                                     at::IntArrayRef output_size, at::IntArrayRef stride,
                                     at::IntArrayRef padding, at::Tensor& out) {
  constexpr const char* kThree =
      "There should be exactly three elements (depth, height, width) in ";
  TORCH_CHECK(indices.scalar_type() == at::kLong, "elements in indices should be type int64");
  TORCH_CHECK(output_size.size() == 3, kThree, "output_size, but got ", output_size.size(),
              " elements.");
  TORCH_CHECK(stride.size() == 3, kThree, "stride, but got: ", stride.size(), " elements.");
  TORCH_CHECK(padding.size() == 3, kThree, "padding, but got: ", padding.size(), " elements.");
  check_unpool(self, indices, 3);
  TORCH_CHECK(stride[0] > 0 && stride[1] > 0 && stride[2] > 0,
              "strides should be greater than zero, but got stride: ", stride);
  return unpool(self, indices, output_size, out);
}
at::Tensor TRN_OP(max_unpool3d)(const at::Tensor& self, const at::Tensor& indices,
                                at::IntArrayRef output_size, at::IntArrayRef stride,
                                at::IntArrayRef padding) {
  at::Tensor out = at::empty({0}, self.options());
  return ops::max_unpool3d_out(self, indices, output_size, stride, padding, out);
}

namespace {

// `samples` [batch, channels, 3]: of d, h and w.
void fractional(const at::Tensor& self, std::array<int64_t, 3> window, const at::Tensor& samples,
                int64_t spatial, const at::Tensor& out, const at::Tensor& indices) {
  if (out.numel() == 0) return;
  const at::ScalarType type = at::toOpMathType(self.scalar_type());
  const at::Tensor x = five(self, spatial).to(type), shape = five(out, spatial);
  const at::Tensor y = at::empty(shape.sizes(), x.options().memory_format(std::nullopt));
  const at::Tensor at = at::empty(shape.sizes(), y.options().dtype(at::kLong));
  const int64_t planes = y.size(0) * y.size(1);
  Launch(fractional_max_pool, dtype_of(type))
      .out(y)
      .out(at)
      .in(x)
      .in(samples.to(type))
      .ints(window)
      .run(planes, grain_for(y.numel() / planes * (window[0] * window[1] * window[2] * 2 + 30)));
  at::Tensor target = out, places = indices;
  target.copy_(y.view(out.sizes()));
  places.copy_(at.view(indices.sizes()));
}

void fractional_backward(const at::Tensor& grad, const at::Tensor& indices, int64_t spatial,
                         const at::Tensor& grad_input) {
  at::Tensor target = grad_input;
  if (target.numel() == 0) return;
  const at::ScalarType type = at::toOpMathType(grad.scalar_type());
  const at::Tensor g = five(grad, spatial).contiguous(), x = five(indices, spatial).contiguous();
  const at::Tensor sum = at::zeros(five(target, spatial).sizes(),
                                   target.options().dtype(type).memory_format(std::nullopt));
  const int64_t planes = g.size(0) * g.size(1);
  if (g.numel())
    Launch(max_pool_backward, dtype_of(type))
        .out(sum)
        .in(g)
        .in(x)
        .run(planes, grain_for(g.numel() / planes * 4));
  target.copy_(sum.view(target.sizes()));
}

}  // namespace

TRN_IMPL_FUNC(fractional_max_pool2d_output)
(const at::Tensor& self, at::IntArrayRef kernel_size, at::IntArrayRef,
 const at::Tensor& random_samples, const at::Tensor& output, const at::Tensor& indices) {
  at::native::fractional_max_pool_check_shape<2>(self, random_samples);
  // Samples of two dimensions come width first; the depth of 1 needs none.
  const at::Tensor s = random_samples.flip(2);
  const at::Tensor three = at::cat({s.narrow(2, 0, 1), s}, 2);
  fractional(self, {1, kernel_size[0], kernel_size[1]}, three, 2, output, indices);
}
TRN_IMPL_FUNC(fractional_max_pool2d_backward_grad_input)
(const at::Tensor& grad_output, const at::Tensor&, at::IntArrayRef, at::IntArrayRef,
 const at::Tensor& indices, const at::Tensor& grad_input) {
  fractional_backward(grad_output, indices, 2, grad_input);
}

TRN_IMPL_FUNC(fractional_max_pool3d_output)
(const at::Tensor& self, int64_t depth, int64_t height, int64_t width, int64_t, int64_t, int64_t,
 const at::Tensor& random_samples, int64_t, int64_t, int64_t, int64_t, int64_t,
 const at::Tensor& output, const at::Tensor& indices) {
  at::native::fractional_max_pool_check_shape<3>(self, random_samples);
  fractional(self, {depth, height, width}, random_samples, 3, output, indices);
}
at::Tensor& TRN_OP(fractional_max_pool3d_backward_grad_input)(const at::Tensor& grad_output,
                                                              const at::Tensor& self,
                                                              at::IntArrayRef, at::IntArrayRef,
                                                              const at::Tensor& indices,
                                                              at::Tensor& grad_input) {
  fractional_backward(grad_output, indices, 3, grad_input.resize_as_(self));
  return grad_input;
}
at::Tensor TRN_OP(fractional_max_pool3d_backward)(const at::Tensor& grad_output,
                                                  const at::Tensor& self, at::IntArrayRef,
                                                  at::IntArrayRef, const at::Tensor& indices) {
  at::Tensor grad_input = at::empty_like(self);
  fractional_backward(grad_output, indices, 3, grad_input);
  return grad_input;
}

}  // namespace trn::ops
