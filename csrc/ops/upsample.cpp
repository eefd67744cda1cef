// Resizing images and volumes: upsample_* of every mode, and their gradients.
#include <ATen/OpMathType.h>
#include <ATen/native/UpSample.h>
#include <ATen/ops/avg_pool2d.h>
#include <ATen/ops/avg_pool3d.h>
#include <ATen/ops/empty.h>

#include "ops/elementwise.h"
#include "ops/index.h"
#include "upsample.structured.h"

namespace trn::ops {
namespace {

const Family taps_family("resample_taps"), reverse_family("resample_reverse"), resample("resample"),
    resample_backward("resample_backward"), nearest("resample_nearest");

using Sizes = at::IntArrayRef;
using Scale = std::optional<double>;
using Scales = std::initializer_list<Scale>;

// The enumeration of kernels/resample.cpp.
enum Mode : int64_t { kNearest, kNearestExact, kLinear, kCubic, kLinearAA, kCubicAA, kLanczosAA };

// How one dimension is resized: which inputs each output reads, and with what weights.
struct Axis {
  at::Tensor spans, weights;
};

template <class T>
Axis axis_of(Mode mode, int64_t in, int64_t out, bool align, Scale scale, at::TensorOptions like) {
  const T step = at::native::area_pixel_compute_scale<T>(in, out, align, scale);
  const T reach = mode == kLinearAA ? 1 : mode == kCubicAA ? 2 : 3;
  int64_t taps = 2 * static_cast<int64_t>(std::ceil(std::max<T>(step, 1) * reach)) + 1;
  if (mode <= kCubic) taps = mode == kCubic ? 4 : mode == kLinear ? 2 : 1;
  Axis a{at::empty({out, 2}, like.dtype(at::kLong)), at::empty({out, taps}, like)};
  Launch(taps_family, dtype_of(a.weights))
      .out(a.spans)
      .out(a.weights)
      .ints({mode, in, align})
      .reals({static_cast<double>(step)})
      .run(out, grain_for(taps * 10));
  return a;
}

Axis axis_of(Mode mode, int64_t in, int64_t out, bool align, Scale scale, const at::Tensor& like) {
  const auto options = like.options().memory_format(std::nullopt);
  return like.scalar_type() == at::kDouble && mode > kNearestExact
             ? axis_of<double>(mode, in, out, align, scale, options.dtype(at::kDouble))
             : axis_of<float>(mode, in, out, align, scale, options.dtype(at::kFloat));
}

// A linear mode between equal sizes copies, whatever the scales say; a cubic one only if it does
// not shift.
bool is_copy(Mode mode, int64_t in, int64_t out, bool align, Scale scale) {
  if (in != out || mode > kCubic) return false;
  return mode == kLinear ||
         at::native::area_pixel_compute_scale<double>(in, out, align, scale) == 1.0;
}

// The tensor with its channels where they lie in memory: [batch, channels, spatial...] or
// [batch, spatial..., channels].
struct Layout {
  bool channels_last;
  explicit Layout(const at::Tensor& t) {
    const at::MemoryFormat f = t.suggest_memory_format();
    channels_last = f == at::MemoryFormat::ChannelsLast || f == at::MemoryFormat::ChannelsLast3d;
  }
  at::Tensor operator()(const at::Tensor& t) const { return channels_last ? t.movedim(1, -1) : t; }
  int64_t first_spatial() const { return channels_last ? 1 : 2; }
};

// Calls step(x, dim, d, y) for each dimension to be resized, from x into a new or the final y.
template <class Skip, class Step>
void each_axis(const at::Tensor& from, const at::Tensor& to, const Layout& layout, Skip skip,
               Step step) {
  const at::ScalarType type = at::toOpMathType(from.scalar_type());
  const at::Tensor target = layout(to);
  at::Tensor x = layout(from).to(type).contiguous();
  const int64_t first = layout.first_spatial(), spatial = from.dim() - 2;
  int64_t last = spatial - 1;
  while (last >= 0 && skip(last)) --last;
  for (int64_t d = 0; d <= last; ++d) {
    if (skip(d)) continue;
    std::vector<int64_t> sizes = x.sizes().vec();
    sizes[first + d] = target.size(first + d);
    const bool direct = d == last && target.scalar_type() == type && target.is_contiguous();
    const at::Tensor y = direct ? target : at::empty(sizes, x.options());
    step(three_way(x, first + d), d, three_way(y, first + d));
    x = y;
  }
  if (!x.is_same(target)) target.copy_(x);
}

void weighted(Mode mode, const at::Tensor& self, bool align, Scales scales, const at::Tensor& out) {
  const Scale* scale = scales.begin();
  each_axis(
      self, out, Layout(self),
      [&](int64_t d) { return is_copy(mode, self.size(2 + d), out.size(2 + d), align, scale[d]); },
      [&](const at::Tensor& x, int64_t d, const at::Tensor& y) {
        const Axis a = axis_of(mode, x.size(1), y.size(1), align, scale[d], self);
        const int64_t cost = y.size(2) * std::min<int64_t>(a.weights.size(1), x.size(1));
        Launch(resample, dtype_of(x))
            .out(y)
            .in(x)
            .in(a.spans)
            .in(a.weights)
            .run(y.size(0) * y.size(1), grain_for(cost * 2));
      });
}

// What each number was copied to is a window where sizes grew by powers of two, of which every
// ratio is exact: the gradient is the sum over windows, an average that divides by one.
bool summed_by_windows(Mode mode, const at::Tensor& grad, Scales scales,
                       const at::Tensor& grad_input) {
  const int64_t spatial = grad.dim() - 2;
  if (mode > kNearestExact || spatial == 1) return false;
  std::vector<int64_t> window;
  for (int64_t d = 0; d < spatial; ++d) {
    const int64_t in = grad_input.size(2 + d), out = grad.size(2 + d), ratio = out / in;
    const double step = static_cast<double>(in) / static_cast<double>(out);
    const auto scale =
        at::native::area_pixel_compute_scale<double>(in, out, false, scales.begin()[d]);
    if (out % in || (ratio & (ratio - 1)) || scale != step) return false;
    window.push_back(ratio);
  }
  at::Tensor out = grad_input;
  if (spatial == 2) at::avg_pool2d_out(out, grad, window, window, 0, false, true, 1);
  else at::avg_pool3d_out(out, grad, window, window, 0, false, true, 1);
  return true;
}

void backward(Mode mode, const at::Tensor& grad, bool align, Scales scales,
              const at::Tensor& grad_input) {
  if (grad_input.numel() == 0 || summed_by_windows(mode, grad, scales, grad_input)) return;
  const Scale* scale = scales.begin();
  each_axis(
      grad, grad_input, Layout(grad),
      [&](int64_t d) {
        return is_copy(mode, grad_input.size(2 + d), grad.size(2 + d), align, scale[d]);
      },
      [&](const at::Tensor& g, int64_t d, const at::Tensor& y) {
        const int64_t in = y.size(1), out = g.size(1);
        Axis a = axis_of(mode, in, out, align, scale[d], grad);
        if (a.weights.scalar_type() != g.scalar_type()) a.weights = a.weights.to(g.scalar_type());
        const at::Tensor ranges = at::empty({in, 2}, a.spans.options());
        Launch(reverse_family, DType::i64).out(ranges).in(a.spans).run(in, grain_for(60));
        const int64_t cost = y.size(2) * (1 + out * a.weights.size(1) / in);
        Launch(resample_backward, dtype_of(g))
            .out(y)
            .in(g)
            .in(a.spans)
            .in(a.weights)
            .in(ranges)
            .run(y.size(0) * in, grain_for(cost * 2));
      });
}

void copied(Mode mode, const at::Tensor& self, Scales scales, const at::Tensor& out) {
  TORCH_CHECK_NOT_IMPLEMENTED(
      at::isFloatingType(self.scalar_type()) || self.scalar_type() == at::kByte,
      "\"upsample_nearest", self.dim() - 2, "d_out_frame\" not implemented for '",
      toString(self.scalar_type()), "'");
  const Layout layout(self);
  const at::Tensor target = layout(out), x = layout(self).contiguous();
  const at::Tensor y = target.is_contiguous() ? target : at::empty(target.sizes(), x.options());
  const int64_t spatial = self.dim() - 2;
  const auto in_five = [&](const at::Tensor& t) {
    const int64_t inner = layout.channels_last ? t.size(-1) : 1;
    std::vector<int64_t> sizes{0, 1, 1, 1, inner};
    for (int64_t d = 0; d < spatial; ++d)
      sizes[4 - spatial + d] = t.size(layout.first_spatial() + d);
    sizes[0] = t.numel() / (sizes[1] * sizes[2] * sizes[3] * inner);
    return t.view(sizes);
  };
  const at::Tensor from = in_five(x), to = in_five(y);
  Launch l(nearest, move_type(x.scalar_type()));
  l.out(to).in(from);
  std::array<Axis, 3> axes;  // alive until the launch: freed memory would be the next axis's
  for (int64_t d = 0; d < 3; ++d) {
    const int64_t k = d - (3 - spatial);
    axes[d] = k < 0 ? axis_of(mode, 1, 1, false, std::nullopt, x)
                    : axis_of(mode, from.size(1 + d), to.size(1 + d), false, scales.begin()[k], x);
    l.in(axes[d].spans);
  }
  l.run(to.size(0) * to.size(1) * to.size(2), grain_for(to.size(3) * to.size(4)));
  if (!y.is_same(target)) target.copy_(y);
}

void forward(Mode mode, const at::Tensor& self, bool align, Scales scales, const at::Tensor& out) {
  if (out.numel() == 0) return;
  if (mode <= kNearestExact) copied(mode, self, scales, out);
  else weighted(mode, self, align, scales, out);
}

}  // namespace

TRN_IMPL_FUNC(upsample_nearest1d_out)
(const at::Tensor& self, Sizes, Scale s, const at::Tensor& out) {
  forward(kNearest, self, false, {s}, out);
}
TRN_IMPL_FUNC(upsample_nearest1d_backward_grad_input)
(const at::Tensor& grad, Sizes, Sizes, Scale s, const at::Tensor& grad_input) {
  backward(kNearest, grad, false, {s}, grad_input);
}
TRN_IMPL_FUNC(upsample_nearest2d_out)
(const at::Tensor& self, Sizes, Scale h, Scale w, const at::Tensor& out) {
  forward(kNearest, self, false, {h, w}, out);
}
TRN_IMPL_FUNC(upsample_nearest2d_backward_grad_input)
(const at::Tensor& grad, Sizes, Sizes, Scale h, Scale w, const at::Tensor& grad_input) {
  backward(kNearest, grad, false, {h, w}, grad_input);
}
TRN_IMPL_FUNC(upsample_nearest3d_out)
(const at::Tensor& self, Sizes, Scale d, Scale h, Scale w, const at::Tensor& out) {
  forward(kNearest, self, false, {d, h, w}, out);
}
TRN_IMPL_FUNC(upsample_nearest3d_backward_grad_input)
(const at::Tensor& grad, Sizes, Sizes, Scale d, Scale h, Scale w, const at::Tensor& grad_input) {
  backward(kNearest, grad, false, {d, h, w}, grad_input);
}
TRN_IMPL_FUNC(_upsample_nearest_exact1d_out)
(const at::Tensor& self, Sizes, Scale s, const at::Tensor& out) {
  forward(kNearestExact, self, false, {s}, out);
}
TRN_IMPL_FUNC(_upsample_nearest_exact1d_backward_grad_input)
(const at::Tensor& grad, Sizes, Sizes, Scale s, const at::Tensor& grad_input) {
  backward(kNearestExact, grad, false, {s}, grad_input);
}
TRN_IMPL_FUNC(_upsample_nearest_exact2d_out)
(const at::Tensor& self, Sizes, Scale h, Scale w, const at::Tensor& out) {
  forward(kNearestExact, self, false, {h, w}, out);
}
TRN_IMPL_FUNC(_upsample_nearest_exact2d_backward_grad_input)
(const at::Tensor& grad, Sizes, Sizes, Scale h, Scale w, const at::Tensor& grad_input) {
  backward(kNearestExact, grad, false, {h, w}, grad_input);
}
TRN_IMPL_FUNC(_upsample_nearest_exact3d_out)
(const at::Tensor& self, Sizes, Scale d, Scale h, Scale w, const at::Tensor& out) {
  forward(kNearestExact, self, false, {d, h, w}, out);
}
TRN_IMPL_FUNC(_upsample_nearest_exact3d_backward_grad_input)
(const at::Tensor& grad, Sizes, Sizes, Scale d, Scale h, Scale w, const at::Tensor& grad_input) {
  backward(kNearestExact, grad, false, {d, h, w}, grad_input);
}
TRN_IMPL_FUNC(upsample_linear1d_out)
(const at::Tensor& self, Sizes, bool align, Scale s, const at::Tensor& out) {
  forward(kLinear, self, align, {s}, out);
}
TRN_IMPL_FUNC(upsample_linear1d_backward_grad_input)
(const at::Tensor& grad, Sizes, Sizes, bool align, Scale s, const at::Tensor& grad_input) {
  backward(kLinear, grad, align, {s}, grad_input);
}
TRN_IMPL_FUNC(upsample_bilinear2d_out)
(const at::Tensor& self, Sizes, bool align, Scale h, Scale w, const at::Tensor& out) {
  forward(kLinear, self, align, {h, w}, out);
}
TRN_IMPL_FUNC(upsample_bilinear2d_backward_grad_input)
(const at::Tensor& grad, Sizes, Sizes, bool align, Scale h, Scale w, const at::Tensor& grad_input) {
  backward(kLinear, grad, align, {h, w}, grad_input);
}
TRN_IMPL_FUNC(upsample_trilinear3d_out)
(const at::Tensor& self, Sizes, bool align, Scale d, Scale h, Scale w, const at::Tensor& out) {
  forward(kLinear, self, align, {d, h, w}, out);
}
TRN_IMPL_FUNC(upsample_trilinear3d_backward_grad_input)
(const at::Tensor& grad, Sizes, Sizes, bool align, Scale d, Scale h, Scale w,
 const at::Tensor& grad_input) {
  backward(kLinear, grad, align, {d, h, w}, grad_input);
}
TRN_IMPL_FUNC(upsample_bicubic2d_out)
(const at::Tensor& self, Sizes, bool align, Scale h, Scale w, const at::Tensor& out) {
  forward(kCubic, self, align, {h, w}, out);
}
TRN_IMPL_FUNC(upsample_bicubic2d_backward_grad_input)
(const at::Tensor& grad, Sizes, Sizes, bool align, Scale h, Scale w, const at::Tensor& grad_input) {
  backward(kCubic, grad, align, {h, w}, grad_input);
}
TRN_IMPL_FUNC(_upsample_bilinear2d_aa_out)
(const at::Tensor& self, Sizes, bool align, Scale h, Scale w, const at::Tensor& out) {
  forward(kLinearAA, self, align, {h, w}, out);
}
TRN_IMPL_FUNC(_upsample_bilinear2d_aa_backward_grad_input)
(const at::Tensor& grad, Sizes, Sizes, bool align, Scale h, Scale w, const at::Tensor& grad_input) {
  backward(kLinearAA, grad, align, {h, w}, grad_input);
}
TRN_IMPL_FUNC(_upsample_bicubic2d_aa_out)
(const at::Tensor& self, Sizes, bool align, Scale h, Scale w, const at::Tensor& out) {
  forward(kCubicAA, self, align, {h, w}, out);
}
TRN_IMPL_FUNC(_upsample_bicubic2d_aa_backward_grad_input)
(const at::Tensor& grad, Sizes, Sizes, bool align, Scale h, Scale w, const at::Tensor& grad_input) {
  backward(kCubicAA, grad, align, {h, w}, grad_input);
}
TRN_IMPL_FUNC(_upsample_lanczos2d_aa_out)
(const at::Tensor& self, Sizes, bool align, Scale h, Scale w, const at::Tensor& out) {
  forward(kLanczosAA, self, align, {h, w}, out);
}
TRN_IMPL_FUNC(_upsample_lanczos2d_aa_backward_grad_input)
(const at::Tensor& grad, Sizes, Sizes, bool align, Scale h, Scale w, const at::Tensor& grad_input) {
  backward(kLanczosAA, grad, align, {h, w}, grad_input);
}

}  // namespace trn::ops
