// Sliding windows as columns and back: im2col, col2im, and the gradient of Tensor.unfold.
#include <ATen/OpMathType.h>
#include <ATen/native/im2col_shape_check.h>
#include <ATen/ops/complex.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/view_as_real.h>
#include <ATen/ops/zeros.h>

#include "base/spoken.h"
#include "ops/elementwise.h"
#include "ops/index.h"

namespace trn::ops {
namespace {

const Family im2col_family("im2col"), col2im_family("col2im");

void check_pair(const char* name, at::IntArrayRef a) {
  TORCH_CHECK(a.size() == 2, "It is expected ", name, " equals to 2, but got size ", a.size());
}

// How windows of [kernel] lie on an image of two dimensions.
struct Windows {
  std::array<int64_t, 15> ints;  // see kernels/convolution.cpp
  int64_t taps, count;

  Windows(at::IntArrayRef image, at::IntArrayRef kernel, at::IntArrayRef dilation,
          at::IntArrayRef padding, at::IntArrayRef stride) {
    int64_t n[2];
    for (int d = 0; d < 2; ++d)
      n[d] =
          at::native::sliding_window_count(image[d], padding[d], dilation[d], kernel[d], stride[d]);
    ints = {1,          kernel[0], kernel[1],   1,           stride[0], stride[1], 0,   padding[0],
            padding[1], 1,         dilation[0], dilation[1], 1,         n[0],      n[1]};
    taps = kernel[0] * kernel[1];
    count = n[0] * n[1];
  }
};

void check_type(const char* name, const at::Tensor& t) {
  TORCH_CHECK_NOT_IMPLEMENTED(
      at::isFloatingType(t.scalar_type()) || t.is_complex() || t.scalar_type() == at::kBool, '"',
      name, "_out_", spoken_device(), "\" not implemented for '", toString(t.scalar_type()), "'");
}

// The sum of columns [batch, channels * taps, count] as images of `sizes`, in float32 for halves.
at::Tensor images_of(const at::Tensor& columns, at::IntArrayRef sizes, const Windows& w) {
  if (columns.is_complex()) {
    const at::Tensor parts = at::view_as_real(columns);
    return at::complex(images_of(parts.select(-1, 0), sizes, w),
                       images_of(parts.select(-1, 1), sizes, w));
  }
  const at::ScalarType type =
      columns.scalar_type() == at::kBool ? at::kFloat : at::toOpMathType(columns.scalar_type());
  const at::Tensor col = columns.to(type).contiguous();
  const at::Tensor sum = at::empty(sizes, col.options());
  if (sum.numel())
    Launch(col2im_family, dtype_of(type))
        .out(sum.unsqueeze(2))
        .in(col.transpose(0, 1))
        .ints(w.ints)
        .run(sizes[0] * sizes[1], grain_for(w.taps * w.count * 3));
  return sum;
}

}  // namespace

at::Tensor& TRN_OP(im2col_out)(const at::Tensor& self, at::IntArrayRef kernel_size,
                               at::IntArrayRef dilation, at::IntArrayRef padding,
                               at::IntArrayRef stride, at::Tensor& out) {
  check_pair("kernel_size", kernel_size);
  check_pair("dilation", dilation);
  check_pair("padding", padding);
  check_pair("stride", stride);
  at::native::im2col_shape_check(self, at::Tensor(), kernel_size[0], kernel_size[1], dilation[0],
                                 dilation[1], padding[0], padding[1], stride[0], stride[1]);
  check_type("im2col", self);
  const at::Tensor image = self.dim() == 3 ? self.unsqueeze(0) : self;
  const Windows w(image.sizes().slice(2), kernel_size, dilation, padding, stride);
  const int64_t batch = image.size(0), rows = image.size(1) * w.taps;
  out.resize_({batch, rows, w.count});
  const at::Tensor col = out.is_contiguous() ? out : at::empty(out.sizes(), self.options());
  if (col.numel())
    Launch(im2col_family, move_type(self.scalar_type()))
        .out(col.transpose(0, 1))
        .in(image.unsqueeze(2))
        .ints(w.ints)
        .run(rows * batch, grain_for(w.count * 2));
  if (!col.is_same(out)) out.copy_(col);
  if (self.dim() == 3) out.resize_({rows, w.count});
  return out;
}
at::Tensor TRN_OP(im2col)(const at::Tensor& self, at::IntArrayRef kernel_size,
                          at::IntArrayRef dilation, at::IntArrayRef padding,
                          at::IntArrayRef stride) {
  at::Tensor out = at::empty({0}, self.options().memory_format(std::nullopt));
  return ops::im2col_out(self, kernel_size, dilation, padding, stride, out);
}

at::Tensor& TRN_OP(col2im_out)(const at::Tensor& self, at::IntArrayRef output_size,
                               at::IntArrayRef kernel_size, at::IntArrayRef dilation,
                               at::IntArrayRef padding, at::IntArrayRef stride, at::Tensor& out) {
  check_pair("output_size", output_size);
  check_pair("kernel_size", kernel_size);
  check_pair("dilation", dilation);
  check_pair("padding", padding);
  check_pair("stride", stride);
  at::native::col2im_shape_check(self, at::Tensor(), output_size[0], output_size[1], kernel_size[0],
                                 kernel_size[1], dilation[0], dilation[1], padding[0], padding[1],
                                 stride[0], stride[1]);
  check_type("col2im", self);
  const at::Tensor columns = self.dim() == 2 ? self.unsqueeze(0) : self;
  const Windows w(output_size, kernel_size, dilation, padding, stride);
  const std::vector<int64_t> sizes{columns.size(0), columns.size(1) / w.taps, output_size[0],
                                   output_size[1]};
  const at::Tensor image = images_of(columns, sizes, w);
  out.resize_(self.dim() == 2 ? image.sizes().slice(1) : image.sizes());
  return out.copy_(image.view(out.sizes()));
}
at::Tensor TRN_OP(col2im)(const at::Tensor& self, at::IntArrayRef output_size,
                          at::IntArrayRef kernel_size, at::IntArrayRef dilation,
                          at::IntArrayRef padding, at::IntArrayRef stride) {
  at::Tensor out = at::empty({0}, self.options().memory_format(std::nullopt));
  return ops::col2im_out(self, output_size, kernel_size, dilation, padding, stride, out);
}

// The windows of a row are columns of an image of height 1.
at::Tensor TRN_OP(unfold_backward)(const at::Tensor& grad_in, at::IntArrayRef input_sizes,
                                   int64_t dim, int64_t size, int64_t step) {
  const auto options = grad_in.options().memory_format(std::nullopt);
  if (input_sizes.empty()) return grad_in.reshape({}).clone();
  dim = at::maybe_wrap_dim(dim, static_cast<int64_t>(input_sizes.size()));
  if (grad_in.numel() == 0) return at::zeros(input_sizes, options);
  const int64_t length = input_sizes[dim];
  const at::Tensor last = grad_in.movedim({dim, -1}, {-1, -2});  // [..., size, windows]
  const Windows w({1, length}, {1, size}, {1, 1}, {0, 0}, {1, step});
  const at::Tensor columns = last.reshape({-1, size, w.count});
  const at::Tensor rows = images_of(columns, {columns.size(0), 1, 1, length}, w);
  std::vector<int64_t> sizes(last.sizes().begin(), last.sizes().end() - 2);
  sizes.push_back(length);
  return rows.to(grad_in.scalar_type()).view(sizes).movedim(-1, dim).contiguous();
}

}  // namespace trn::ops
