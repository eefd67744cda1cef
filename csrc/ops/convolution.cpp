// Convolutions of one to three dimensions, plain and transposed, with their gradients.
//
// A 1x1 convolution is a matrix product. Others are direct (convolution_direct.h), or, where the
// results have few channels, slide along planes of the image (kernels/convolution_geometry.h).
#include "ops/convolution.h"

#include <ATen/OpMathType.h>
#include <ATen/ops/convolution_native.h>
#include <ATen/ops/empty.h>

#include "convolution_geometry.h"
#include "matmul_tiles.h"
#include "ops/convolution_direct.h"
#include "ops/elementwise.h"
#include "ops/five.h"
#include "ops/index.h"
#include "ops/matmul.h"

namespace trn::ops {
namespace {

const Family conv_planes("conv_planes"), convolution("convolution"),
    conv_weight_narrow("conv_weight_narrow");

struct Axes {
  ConvAxis axis[kAxes];
  at::IntArrayRef ints() const {
    static_assert(sizeof(Axes) == kAxes * kAxisInts * sizeof(int64_t));
    return {reinterpret_cast<const int64_t*>(axis), kAxes * kAxisInts};
  }
  int64_t positions(at::IntArrayRef out) const {  // out: [n, c, d, h, w]
    return ((out[2] - 1) * axis[1].grid + out[3] - 1) * axis[2].grid + out[4];
  }
};

// The axes of the convolution itself, over planes of the image.
Axes forward_axes(const Conv& c) {
  Axes a;
  for (int d = 0; d < kAxes; ++d)
    a.axis[d] = {c.kernel[d], 0, c.dilation[d], c.stride[d], c.out[d] + c.reach(d)};
  return a;
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

// Images [n, c, d, h, w] as planes [n, c, plane size].
at::Tensor planes_of(const at::Tensor& image, const Axes& axes, at::IntArrayRef padding) {
  const int64_t n = image.size(0), channels = image.size(1), size = plane_size(axes.axis);
  const at::Tensor planes =
      at::empty({n, channels, size}, image.options().memory_format(std::nullopt));
  Launch(conv_planes, move_type(image.scalar_type()))
      .out(planes)
      .in(image)
      .ints(axes.ints())
      .ints(padding)
      .run(n * ((channels + 15) / 16), grain_for(16 * size));
  return planes;
}

// Parts with few channels of results: their weights slide along the image's planes.
void convolve_narrow(const std::vector<ConvPart>& parts, const at::Tensor& image,
                     const at::Tensor& bias, int64_t groups) {
  const RowsShape reach = reach_of(parts);
  Axes axes;
  for (int d = 0; d < kAxes; ++d) {
    const int64_t s = parts[0].axis[d].stride;  // the same of all
    axes.axis[d] = {0, 0, 0, s, (reach.size[d] + s - 1) / s};
  }
  const at::Tensor planes = planes_of(image, axes, reach.before);
  for (const ConvPart& part : parts) {
    const at::Tensor& out = part.out;
    for (int d = 0; d < kAxes; ++d) {
      const ConvTaps& a = part.axis[d];
      ConvAxis& to = axes.axis[d];
      to.taps = a.taps, to.first = a.first + reach.before[d], to.step = a.step;
    }
    const int64_t m = out.size(1) / groups, n = axes.positions(out.sizes());
    const int64_t k = part.weight.numel() / out.size(1), tile = even_part(n, kMaxTileN, kStepN);
    Launch(convolution, dtype_of(out))
        .out(out)
        .in(part.weight.reshape({out.size(1), k}).contiguous())
        .in(planes)
        .in(bias.defined() ? bias.contiguous() : bias)
        .ints(axes.ints())
        .ints({tile, groups})
        .run(out.size(0) * groups * ((n + tile - 1) / tile), grain_for(m * tile * k / 8));
  }
}

void convolve_parts(const std::vector<ConvPart>& parts, const at::Tensor& image,
                    const at::Tensor& bias, int64_t groups) {
  if (parts.empty()) return;
  const bool narrow = std::all_of(parts.begin(), parts.end(), [](const ConvPart& p) {
    return p.weight.size(1) <= kNarrow && p.weight.numel() <= kNarrowTaps * p.out.size(1);
  });
  (narrow ? convolve_narrow : convolve_direct)(parts, image, bias, groups);
}

// Whether rows of channels are multiplied where they lie: packing halves that the processor does
// not multiply costs more than to have them converted once, and a thin product more than a direct
// one.
bool is_product_of_rows(const at::Tensor& image, int64_t co) {
  return at::isFloatingType(image.scalar_type()) && has_direct_kernel(image.scalar_type()) &&
         !is_thin(image.numel() / image.size(1), co);
}

// A convolution of single elements is a plain product, in either layout.
bool convolve_pointwise(const at::Tensor& out, const at::Tensor& image, const at::Tensor& weight,
                        const at::Tensor& bias) {
  const int64_t n = image.size(0), ci = image.size(1), co = weight.size(0);
  const at::Tensor w = weight.reshape({co, ci});
  const int64_t beta = bias.defined();
  const at::Tensor x = rows_of_channels(image), y = rows_of_channels(out);
  if (x.defined() && y.defined() && is_product_of_rows(image, co)) {
    matmul_into(y, x, w.t(), bias, 1, beta);
    return true;
  }
  if (!out.is_contiguous() || !image.is_contiguous()) return false;
  matmul_into(out.view({n, co, -1}), w, image.reshape({n, ci, -1}),
              beta ? bias.view({co, 1}) : bias, 1, beta);
  return true;
}

// What a convolution of single taps without padding reads of an image, all of it, and itself then.
at::Tensor every_stride(const at::Tensor& image, const Conv& c, Conv& plain) {
  at::Tensor x = image;
  plain = c;
  for (int d = 0; d < kAxes; ++d) {
    x = x.slice(2 + d, 0, c.in[d], c.stride[d]);
    plain.stride[d] = 1, plain.in[d] = c.out[d];
  }
  return image.stride(1) == 1 ? x : x.contiguous();
}

// out [n, co, ...] = weight [co, ci / groups, ...] over image; all of five dimensions.
void convolve(const at::Tensor& out, const at::Tensor& image, const at::Tensor& weight,
              const at::Tensor& bias, const Conv& c) {
  if (c.is_pointwise() && c.groups == 1 && convolve_pointwise(out, image, weight, bias)) return;
  if (depthwise(out, image, weight, bias, c, false)) return;
  if (winograd(out, image, weight, bias, c, false)) return;
  if (c.taps() == 1 && !c.is_pointwise() && c.padding[0] + c.padding[1] + c.padding[2] == 0) {
    Conv plain;
    const at::Tensor met = every_stride(image, c, plain);
    return convolve(out, met, weight, bias, plain);
  }
  const int64_t g = c.groups, *k = c.kernel;
  ConvPart part{out, weight.reshape({g, -1, weight.size(1), k[0], k[1], k[2]}), {}};
  for (int d = 0; d < kAxes; ++d) part.axis[d] = {k[d], -c.padding[d], c.dilation[d], c.stride[d]};
  convolve_parts({part}, image, bias, g);
}

// image [n, ci, ...] = the transpose of the same product: gradient of the image from that of out.
void convolve_transposed(const at::Tensor& image, const at::Tensor& out, const at::Tensor& weight,
                         const at::Tensor& bias, const Conv& c) {
  if (depthwise(image, out, weight, bias, c, true)) return;
  if (winograd(image, out, weight, bias, c, true)) return;
  if (c.is_pointwise() && c.groups == 1 &&
      convolve_pointwise(image, out, weight.reshape({weight.size(0), -1}).t(), bias))
    return;
  convolve_parts(transposed_parts(image, weight, bias, c), out, bias, c.groups);
}

// The same as weight_gradient() where a group has few channels of results and the image few taps:
// dot products of planes, over all images in order.
void weight_gradient_narrow(const at::Tensor& grad_weight, const at::Tensor& grad_out,
                            const at::Tensor& image, const Conv& c) {
  const Axes axes = forward_axes(c);
  const at::Tensor planes = planes_of(image, axes, c.padding);
  // The same rows as the planes have, zero between the results.
  Axes lines = axes;
  for (ConvAxis& a : lines.axis) a.stride = 1;
  lines.axis[0].grid = c.out[0];
  const int64_t none[kAxes] = {0, 0, 0}, positions = axes.positions(grad_out.sizes());
  const at::Tensor results = planes_of(grad_out, lines, none).narrow(2, 0, positions);
  const int64_t co = grad_weight.size(0), n = grad_weight.numel() / co;
  const at::Tensor sum =
      at::empty({co, n}, image.options().dtype(stat_type(image)).memory_format(std::nullopt));
  Launch(conv_weight_narrow, dtype_of(image))
      .out(sum)
      .in(results)
      .in(planes)
      .ints(axes.ints())
      .ints({c.groups})
      .run(co, grain_for(n * image.size(0) * positions / 8));
  at::Tensor(grad_weight).copy_(sum.view(grad_weight.sizes()));
}

void any_weight_gradient(const at::Tensor& grad_weight, const at::Tensor& grad_out,
                         const at::Tensor& image, const Conv& c) {
  const int64_t co = grad_weight.size(0), n = grad_weight.numel() / co;
  if (depthwise_weight(grad_weight, grad_out, image, c)) return;
  if (winograd_weight(grad_weight, grad_out, image, c)) return;
  const bool narrow = co / c.groups <= kNarrow && n <= kNarrowTaps / 8;
  (narrow ? weight_gradient_narrow : weight_gradient)(grad_weight, grad_out, image, c);
}

at::MemoryFormat format_of(const at::Tensor& input, const at::Tensor& weight) {
  const at::MemoryFormat last =
      input.dim() == 5 ? at::MemoryFormat::ChannelsLast3d : at::MemoryFormat::ChannelsLast;
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
    sizes.push_back(transposed
                        ? (input.size(d) - 1) * stride[d - 2] - 2 * padding[d - 2] + span +
                              output_padding[d - 2] + 1
                        : (input.size(d) + 2 * padding[d - 2] - span - 1) / stride[d - 2] + 1);
  }
  return sizes;
}

void check_same_type(const at::Tensor& input, const at::Tensor& other, const char* what) {
  TORCH_CHECK(input.options().type_equal(other.options()), "Input type (", input.toString(),
              ") and ", what, " type (", other.toString(), ") should be the same");
}

}  // namespace

// CUDA compares types before devices, and a CPU image with weights on the device is refused by
// libtorch, with the names of both types.
at::Tensor TRN_OP_ACROSS(convolution)(const at::Tensor& input, const at::Tensor& weight,
                                      const std::optional<at::Tensor>& bias, at::IntArrayRef stride,
                                      at::IntArrayRef padding, at::IntArrayRef dilation,
                                      bool transposed, at::IntArrayRef output_padding,
                                      int64_t groups) {
  if (input.is_privateuseone() && !weight.is_privateuseone())
    check_same_type(input, weight, "weight");
  if (input.is_privateuseone() && bias && bias->is_cpu()) check_same_type(input, *bias, "bias");
  return at::native::convolution(input, weight, bias, stride, padding, dilation, transposed,
                                 output_padding, groups);
}

at::Tensor TRN_OP(convolution_overrideable)(const at::Tensor& input, const at::Tensor& weight,
                                            const std::optional<at::Tensor>& bias,
                                            at::IntArrayRef stride, at::IntArrayRef padding,
                                            at::IntArrayRef dilation, bool transposed,
                                            at::IntArrayRef output_padding, int64_t groups) {
  const at::Tensor b = bias && bias->defined() ? *bias : at::Tensor();
  check_same_type(input, weight, "weight");
  if (b.defined()) check_same_type(input, b, "bias");
  at::Tensor out = at::empty(
      output_sizes(input, weight, stride, padding, dilation, transposed, output_padding, groups),
      input.options().memory_format(format_of(input, weight)));
  if (out.numel() == 0) return out;
  const at::Tensor x = five(input), y = five(out), w = five(weight);
  if (transposed)
    convolve_transposed(y, x, w, b, describe(y, weight, x, stride, padding, dilation, groups));
  else convolve(y, x, w, b, describe(x, weight, y, stride, padding, dilation, groups));
  return out;
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> TRN_OP(convolution_backward_overrideable)(
    const at::Tensor& grad_output, const at::Tensor& input, const at::Tensor& weight,
    at::IntArrayRef stride, at::IntArrayRef padding, at::IntArrayRef dilation, bool transposed,
    at::IntArrayRef output_padding, int64_t groups, std::array<bool, 3> output_mask) {
  check_same_type(input, weight, "weight");
  check_same_type(input, grad_output, "grad_output");
  const at::MemoryFormat format = format_of(input, weight);
  const at::Tensor x = five(input), g = five(grad_output), w = five(weight);
  at::Tensor gx, gw, gb;
  const auto like = [](const at::Tensor& t, at::MemoryFormat f) {
    return t.options().memory_format(f);
  };
  const bool none = grad_output.numel() == 0 || input.numel() == 0;
  // A transposed convolution maps results to images: its gradients exchange the two.
  const at::Tensor &image = transposed ? g : x, &result = transposed ? x : g;
  const Conv c = describe(image, weight, result, stride, padding, dilation, groups);
  if (output_mask[0]) {
    gx = at::empty(input.sizes(), like(input, format));
    if (none) gx.zero_();
    if (!none && transposed) convolve(five(gx), g, w, {}, c);
    if (!none && !transposed) convolve_transposed(five(gx), g, w, {}, c);
  }
  if (output_mask[1]) {
    gw = at::empty(weight.sizes(), like(weight, weight.dim() >= 4 ? weight.suggest_memory_format()
                                                                  : at::MemoryFormat::Contiguous));
    if (none) gw.zero_();
    else any_weight_gradient(five(gw), result, image, c);
  }
  if (output_mask[2]) {
    std::vector<int64_t> dims{0};
    for (int64_t d = 2; d < grad_output.dim(); ++d) dims.push_back(d);
    gb = grad_output.sum(dims);
  }
  return {gx, gw, gb};
}

}  // namespace trn::ops
