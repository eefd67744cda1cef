// 3x3 convolutions of stride 1 by fewer products, where there are channels enough.
#include <ATen/ops/empty.h>

#include "ops/convolution.h"
#include "winograd_geometry.h"

namespace trn::ops {
namespace {

const Family winograd_weights("winograd_weights"), winograd_family("winograd"),
    winograd_points("winograd_points"), winograd_products("winograd_products"),
    winograd_taps("winograd_taps");

int64_t tiles_of(const at::Tensor& results) {
  return results.size(0) * tiles_along(results.size(3)) * tiles_along(results.size(4));
}

// Whether it applies to 3x3 taps over the image, giving results, and is the faster way: tiles hang
// over the edges of small images, and few of them do not pay for the transformed weights.
bool pays(const Conv& c, const at::Tensor& image, const at::Tensor& results) {
  constexpr int64_t kFewestChannels = 16, kFewestTiles = 16;
  const bool flat = c.kernel[0] == 1 && c.padding[0] == 0 && c.in[0] == 1 && c.groups == 1;
  for (int d = 1; d < 3; ++d)
    if (c.kernel[d] != 3 || c.stride[d] != 1 || c.dilation[d] != 1) return false;
  const int64_t tiles = tiles_of(results), positions = results.numel() / results.size(1);
  return flat && stat_type(image) == at::kFloat && image.size(1) >= kFewestChannels &&
         results.size(1) >= kFewestChannels && tiles >= kFewestTiles &&
         tiles * kTileSide * kTileSide * 2 <= positions * 5;
}

at::TensorOptions floats_beside(const at::Tensor& t) {
  return t.options().dtype(at::kFloat).memory_format(std::nullopt);
}

// [n, c, h, w] whose channels or lines are dense, as kernels read whole vectors of them.
bool has_dense_runs(const at::Tensor& t) { return t.stride(1) == 1 || t.stride(4) == 1; }
at::Tensor in_runs(const at::Tensor& t) {
  return (has_dense_runs(t) ? t : t.contiguous()).select(2, 0);
}

}  // namespace

bool winograd(const at::Tensor& out, const at::Tensor& image, const at::Tensor& weight,
              const at::Tensor& bias, const Conv& c, bool transposed) {
  int64_t padding[2];
  for (int d = 0; d < 2; ++d) {
    padding[d] = transposed ? 2 - c.padding[1 + d] : c.padding[1 + d];
    if (padding[d] < 0) return false;
  }
  if (!pays(c, image, out) || !has_dense_runs(out)) return false;
  const int64_t ci = image.size(1), co = out.size(1), tiles = tiles_of(out);
  const int64_t block = tiles_of_item(ci, co, tiles);
  if (block == 0) return false;

  const at::TensorOptions options = floats_beside(image);
  const at::Tensor packed =
      at::empty({kPoints, point_step(strips_of(co) * ci * kStripColumns)}, options);
  const at::Tensor taps =
      weight.reshape({weight.size(0), weight.size(1), 9}).to(at::kFloat).contiguous();
  Launch(winograd_weights, DType::f32)
      .out(packed).in(transposed ? taps.transpose(0, 1) : taps).ints({transposed})
      .run(strips_of(co) * ci, grain_for(kPoints * kStripColumns));
  Launch(winograd_family, dtype_of(image))
      .out(out.select(2, 0)).in(packed).in(in_runs(image))
      .in(bias.defined() ? bias.to(at::kFloat).contiguous() : bias)
      .ints({padding[0], padding[1], block})
      .run((tiles + block - 1) / block, 1);
  return true;
}

bool winograd_weight(const at::Tensor& grad_weight, const at::Tensor& grad_out,
                     const at::Tensor& image, const Conv& c) {
  if (!pays(c, image, grad_out)) return false;
  const int64_t ci = image.size(1), co = grad_out.size(1), tiles = tiles_of(grad_out);
  // What the products read a second time stays in the shared cache.
  constexpr int64_t kBytesAtOnce = 16 << 20;
  const int64_t each = kPoints * (patch_row(ci) + patch_row(co)) * sizeof(float);
  const int64_t part = std::clamp<int64_t>(kBytesAtOnce / each, kMostTiles, tiles);

  const at::TensorOptions options = floats_beside(image);
  const auto points = [&](int64_t channels) {
    const int64_t row = patch_row(channels), step = point_step(part * row);
    return at::empty({kPoints, step}, options).as_strided({kPoints, part, row}, {step, row, 1});
  };
  const at::Tensor patches = points(ci), grads = points(co);
  const at::Tensor sums = at::empty({kPoints, ci, strips_of(co) * kStripColumns}, options);
  const at::Tensor x = in_runs(image), y = in_runs(grad_out);
  for (int64_t first = 0; first < tiles; first += part) {
    const int64_t many = std::min(part, tiles - first);
    Launch(winograd_points, dtype_of(image))
        .out(patches).out(grads).in(x).in(y).ints({c.padding[1], c.padding[2], first, many})
        .run((many + kMostTiles - 1) / kMostTiles, 1);
    Launch(winograd_products, DType::f32)
        .out(sums).in(patches).in(grads).ints({many, first > 0})
        .run(kPoints * strips_of(co), grain_for(many * ci * kStripColumns / 8));
  }
  const at::Tensor taps = at::empty({co, ci, 9}, options);
  Launch(winograd_taps, DType::f32)
      .out(taps).in(sums).run(strips_of(co) * ci, grain_for(kPoints * kStripColumns));
  at::Tensor(grad_weight).copy_(taps.view(grad_weight.sizes()));
  return true;
}

}  // namespace trn::ops
