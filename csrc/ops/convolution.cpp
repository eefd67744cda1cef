// Convolutions of one to three dimensions, plain and transposed, with their gradients.
//
// Images become columns and convolutions matrix products, some images at a time so that the
// columns stay within kColumnBytes; a 1x1 convolution needs no columns.
#include <ATen/OpMathType.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include "ops/elementwise.h"
#include "ops/index.h"
#include "ops/matmul.h"

namespace trn::ops {
namespace {

constexpr int64_t kColumnBytes = 64 << 20;

const Family im2col("im2col"), col2im("col2im");

// A convolution in three dimensions; `in` and `out` are sizes of images and of results.
struct Conv {
  int64_t kernel[3], stride[3], padding[3], dilation[3], in[3], out[3];
  int64_t groups;

  int64_t volume() const { return out[0] * out[1] * out[2]; }
  int64_t taps() const { return kernel[0] * kernel[1] * kernel[2]; }
  bool is_pointwise() const {
    for (int d = 0; d < 3; ++d)
      if (kernel[d] != 1 || stride[d] != 1 || padding[d] != 0) return false;
    return true;
  }
  std::array<int64_t, 15> ints() const {
    std::array<int64_t, 15> a;
    for (int d = 0; d < 3; ++d) {
      a[d] = kernel[d];
      a[3 + d] = stride[d];
      a[6 + d] = padding[d];
      a[9 + d] = dilation[d];
      a[12 + d] = out[d];
    }
    return a;
  }
};

// [n, c, ...] with sizes of 1 put in front of the spatial dimensions.
at::Tensor five(const at::Tensor& t) {
  at::Tensor v = t;
  while (v.dim() < 5) v = v.unsqueeze(2);
  return v;
}

Conv describe(const at::Tensor& image, const at::Tensor& weight, const at::Tensor& result,
              at::IntArrayRef stride, at::IntArrayRef padding, at::IntArrayRef dilation,
              int64_t groups) {
  Conv c;
  const int spatial = static_cast<int>(weight.dim()) - 2;
  for (int d = 0; d < 3; ++d) {
    const int k = d - (3 - spatial);  // which given dimension this is; negative: put in front
    const auto pick = [&](at::IntArrayRef a, int64_t otherwise) {
      return k < 0 ? otherwise : a.size() == 1 ? a[0] : a[k];
    };
    c.kernel[d] = k < 0 ? 1 : weight.size(2 + k);
    c.stride[d] = pick(stride, 1);
    c.padding[d] = pick(padding, 0);
    c.dilation[d] = pick(dilation, 1);
    c.in[d] = image.size(2 + d);
    c.out[d] = result.size(2 + d);
  }
  c.groups = groups;
  return c;
}

// Images of one group as columns [channels * taps, batch, volume].
at::Tensor columns_of(const at::Tensor& image, const Conv& c) {
  const int64_t n = image.size(0), channels = image.size(1);
  if (c.is_pointwise()) return image.reshape({n, channels, -1}).transpose(0, 1);
  const at::Tensor col = at::empty({channels * c.taps(), n, c.volume()},
                                   image.options().memory_format(std::nullopt));
  Launch(im2col, move_type(image.scalar_type()))
      .out(col).in(image).ints(c.ints())
      .run(channels * c.taps() * n, grain_for(c.volume() * 2));
  return col;
}

// How many images' columns fit.
int64_t images_at_once(const Conv& c, int64_t channels, int64_t bytes) {
  if (c.is_pointwise()) return 1 << 20;
  return std::max<int64_t>(1, kColumnBytes / std::max<int64_t>(1, channels * c.taps() * c.volume() * bytes));
}

template <class F>
void each_part(int64_t n, int64_t step, F f) {
  for (int64_t i = 0; i < n; i += step) f(i, std::min(step, n - i));
}

at::Tensor group_of(const at::Tensor& t, int64_t dim, int64_t g, int64_t groups) {
  const int64_t size = t.size(dim) / groups;
  return t.narrow(dim, g * size, size);
}

// out [n, co, ...] = weight [co, ci / groups, ...] * image; both 5-d, out dense.
void convolve(const at::Tensor& out, const at::Tensor& image, const at::Tensor& weight,
              const at::Tensor& bias, const Conv& c) {
  const int64_t ci = image.size(1) / c.groups, co = weight.size(0) / c.groups;
  const int64_t step = images_at_once(c, ci, image.element_size());
  for (int64_t g = 0; g < c.groups; ++g) {
    const at::Tensor w = group_of(weight, 0, g, c.groups).reshape({1, co, -1});
    const at::Tensor b = bias.defined() ? group_of(bias, 0, g, c.groups).reshape({1, co, 1}) : bias;
    each_part(image.size(0), step, [&](int64_t i, int64_t n) {
      const at::Tensor x = group_of(image.narrow(0, i, n), 1, g, c.groups);
      const at::Tensor y = group_of(out.narrow(0, i, n), 1, g, c.groups).reshape({n, co, -1});
      const at::Tensor col = columns_of(x, c).transpose(0, 1);  // [n, ci * taps, volume]
      matmul_into(y, w.expand({n, co, w.size(2)}), col, b, 1, bias.defined() ? 1 : 0);
    });
  }
}

// image [n, ci, ...] = the transpose of the same product: gradient of the image from that of out.
void convolve_transposed(const at::Tensor& image, const at::Tensor& out, const at::Tensor& weight,
                         const Conv& c) {
  const int64_t ci = image.size(1) / c.groups, co = weight.size(0) / c.groups;
  // Sums over taps are kept in float32 for halves.
  const at::ScalarType type = at::toOpMathType(image.scalar_type());
  const int64_t step = images_at_once(c, ci, c10::elementSize(type));
  for (int64_t g = 0; g < c.groups; ++g) {
    const at::Tensor w = group_of(weight, 0, g, c.groups).reshape({1, co, -1}).transpose(1, 2);
    each_part(image.size(0), step, [&](int64_t i, int64_t n) {
      const at::Tensor y = group_of(out.narrow(0, i, n), 1, g, c.groups).reshape({n, co, -1});
      at::Tensor x = group_of(image.narrow(0, i, n), 1, g, c.groups);
      const auto options = image.options().dtype(type).memory_format(std::nullopt);
      if (c.is_pointwise()) {
        const at::Tensor flat = at::empty({n, ci, c.volume()}, image.options().memory_format(std::nullopt));
        matmul_into(flat, w.expand({n, w.size(1), co}), y);
        x.copy_(flat.view(x.sizes()));
        return;
      }
      const at::Tensor col = at::empty({ci * c.taps(), n, c.volume()}, options);
      matmul_into(col.transpose(0, 1), w.expand({n, w.size(1), co}), y);
      const at::Tensor sum = at::empty(x.sizes(), options);
      Launch(col2im, dtype_of(type)).out(sum).in(col).ints(c.ints())
          .run(n * ci, grain_for(c.taps() * c.volume()));
      x.copy_(sum);
    });
  }
}

// Gradient of the weight: out's gradient times the columns, over all images in order.
void weight_gradient(const at::Tensor& grad_weight, const at::Tensor& grad_out,
                     const at::Tensor& image, const Conv& c) {
  const int64_t ci = image.size(1) / c.groups, co = grad_weight.size(0) / c.groups;
  const at::ScalarType type = at::toOpMathType(image.scalar_type());
  const int64_t step = images_at_once(c, ci, image.element_size());
  for (int64_t g = 0; g < c.groups; ++g) {
    at::Tensor sum = at::zeros({1, co, ci * c.taps()}, image.options().dtype(type).memory_format(std::nullopt));
    each_part(image.size(0), step, [&](int64_t i, int64_t n) {
      const at::Tensor x = group_of(image.narrow(0, i, n), 1, g, c.groups);
      const at::Tensor y = group_of(grad_out.narrow(0, i, n), 1, g, c.groups)
                               .reshape({n, co, -1}).transpose(0, 1).reshape({1, co, -1});
      const at::Tensor col = columns_of(x, c).reshape({1, ci * c.taps(), -1}).transpose(1, 2);
      matmul_into(sum, y, col, sum, 1, i > 0 ? 1 : 0);
    });
    at::Tensor target = group_of(grad_weight, 0, g, c.groups);
    target.copy_(sum.view(target.sizes()));
  }
}

at::MemoryFormat format_of(const at::Tensor& input, const at::Tensor& weight) {
  const at::MemoryFormat last = input.dim() == 5 ? at::MemoryFormat::ChannelsLast3d
                                                 : at::MemoryFormat::ChannelsLast;
  const bool wants = input.dim() >= 4 && (input.suggest_memory_format() == last ||
                                          weight.suggest_memory_format() == last);
  return wants ? last : at::MemoryFormat::Contiguous;
}

std::vector<int64_t> output_sizes(const at::Tensor& input, const at::Tensor& weight,
                                  at::IntArrayRef stride, at::IntArrayRef padding,
                                  at::IntArrayRef dilation, bool transposed,
                                  at::IntArrayRef output_padding, int64_t groups) {
  std::vector<int64_t> sizes{input.size(0), transposed ? weight.size(1) * groups : weight.size(0)};
  for (int64_t d = 2; d < input.dim(); ++d) {
    const int64_t span = dilation[d - 2] * (weight.size(d) - 1);
    sizes.push_back(transposed ? (input.size(d) - 1) * stride[d - 2] - 2 * padding[d - 2] + span +
                                     output_padding[d - 2] + 1
                               : (input.size(d) + 2 * padding[d - 2] - span - 1) / stride[d - 2] + 1);
  }
  return sizes;
}

}  // namespace

at::Tensor TRN_OP(convolution_overrideable)(const at::Tensor& input, const at::Tensor& weight,
                                            const std::optional<at::Tensor>& bias,
                                            at::IntArrayRef stride, at::IntArrayRef padding,
                                            at::IntArrayRef dilation, bool transposed,
                                            at::IntArrayRef output_padding, int64_t groups) {
  const at::MemoryFormat format = format_of(input, weight);
  at::Tensor out = at::empty(output_sizes(input, weight, stride, padding, dilation, transposed,
                                          output_padding, groups),
                             input.options().memory_format(std::nullopt));
  const at::Tensor b = bias && bias->defined() ? *bias : at::Tensor();
  if (out.numel() == 0) return out;
  const at::Tensor x = five(input), y = five(out), w = five(weight);
  if (!transposed) {
    convolve(y, x, w, b, describe(x, weight, y, stride, padding, dilation, groups));
  } else {
    convolve_transposed(y, x, w, describe(y, weight, x, stride, padding, dilation, groups));
    if (b.defined()) {
      std::vector<int64_t> sizes(out.dim(), 1);
      sizes[1] = b.numel();
      out.add_(b.view(sizes));
    }
  }
  return out.contiguous(format);
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> TRN_OP(convolution_backward_overrideable)(
    const at::Tensor& grad_output, const at::Tensor& input, const at::Tensor& weight,
    at::IntArrayRef stride, at::IntArrayRef padding, at::IntArrayRef dilation, bool transposed,
    at::IntArrayRef output_padding, int64_t groups, std::array<bool, 3> output_mask) {
  const at::MemoryFormat format = format_of(input, weight);
  const at::Tensor grad = grad_output.contiguous();
  const at::Tensor x = five(input), g = five(grad), w = five(weight);
  at::Tensor gx, gw, gb;
  const auto plain = [](const at::Tensor& t) { return t.options().memory_format(std::nullopt); };
  const bool none = grad.numel() == 0 || input.numel() == 0;
  // A transposed convolution maps results to images: its gradients exchange the two.
  const at::Tensor &image = transposed ? g : x, &result = transposed ? x : g;
  const Conv c = describe(image, weight, result, stride, padding, dilation, groups);
  if (output_mask[0]) {
    gx = none ? at::zeros(input.sizes(), plain(input)) : at::empty(input.sizes(), plain(input));
    if (!none && transposed) convolve(five(gx), g, w, {}, c);
    if (!none && !transposed) convolve_transposed(five(gx), g, w, c);
    gx = gx.contiguous(format);
  }
  if (output_mask[1]) {
    gw = none ? at::zeros(weight.sizes(), plain(weight)) : at::empty(weight.sizes(), plain(weight));
    if (!none) weight_gradient(five(gw), result, image, c);
    gw = gw.contiguous(weight.dim() >= 4 ? weight.suggest_memory_format() : at::MemoryFormat::Contiguous);
  }
  if (output_mask[2]) {
    std::vector<int64_t> dims{0};
    for (int64_t d = 2; d < grad.dim(); ++d) dims.push_back(d);
    gb = grad.sum(dims);
  }
  return {gx, gw, gb};
}

}  // namespace trn::ops
