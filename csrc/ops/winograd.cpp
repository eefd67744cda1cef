// Convolutions by fewer products (Winograd's algorithm), where that pays.
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include "matmul_tiles.h"
#include "ops/conv_rows.h"
#include "ops/convolution.h"
#include "ops/winograd_shape.h"

namespace trn::ops {
namespace {

const Family winograd_weights("winograd_weights"), winograd_family("winograd"),
    winograd_points("winograd_points"), winograd_products("winograd_products"),
    winograd_gradient("winograd_gradient"), winograd_taps("winograd_taps");

at::TensorOptions floats_beside(const at::Tensor& t) {
  return t.options().dtype(at::kFloat).memory_format(std::nullopt);
}
at::IntArrayRef ints_of(const WinogradShape& s) {
  return {reinterpret_cast<const int64_t*>(&s), kShapeInts};
}

// An image [n, c, d, h, w] whose channels or lines are dense, as kernels read whole vectors of
// them, as one segment of channels.
bool has_dense_runs(const at::Tensor& t) { return t.stride(1) == 1 || t.stride(4) == 1; }
at::Tensor in_runs(const at::Tensor& t) {
  return (has_dense_runs(t) ? t : t.contiguous()).unsqueeze(5);
}

// What a convolution of any stride reads: [n, c, d, h, w, segments]. The phases of a stride become
// channels: those of x beside each other in rows of channels, those of y apart.
at::Tensor phases_of(const at::Tensor& image, const Conv& c, const Winograd& w) {
  const int64_t sy = c.stride[1], sx = c.stride[2], ci = image.size(1);
  if (sy * sx == 1) return in_runs(image);
  RowsShape shape{{0, c.padding[1], c.padding[2]}, {c.in[0], 0, 0}};
  const int64_t high = w.shape.grid[0] + w.taps[0] - 1, wide = w.shape.grid[1] + w.taps[1] - 1;
  shape.size[1] = high * sy, shape.size[2] = wide * sx;
  at::Tensor rows = conv_rows(image, shape, image.scalar_type());
  if (rows.stride(3) != ci) rows = rows.contiguous();  // part of an image of more channels
  const auto s = rows.strides();
  return rows.as_strided({rows.size(0), sx * ci, rows.size(1), high, wide, sy},
                         {s[0], 1, s[1], sy * s[2], sx * s[3], s[2]});
}

// Taps [co, ci, kd, ky, kx] of whole phases as [co, ci, kd, ry, sy, rx, sx].
at::Tensor by_phases(const at::Tensor& taps, const Conv& c, const Winograd& w) {
  const auto s = taps.strides();
  const int64_t sy = c.stride[1], sx = c.stride[2];
  return taps.as_strided({taps.size(0), taps.size(1), taps.size(2), w.taps[0], sy, w.taps[1], sx},
                         {s[0], s[1], s[2], sy * s[3], s[3], sx * s[4], s[4]});
}
bool has_whole_phases(const Conv& c, const Winograd& w) {
  return c.kernel[1] == w.taps[0] * c.stride[1] && c.kernel[2] == w.taps[1] * c.stride[2];
}
std::vector<int64_t> whole_sizes(const at::Tensor& weight, const Conv& c, const Winograd& w) {
  return {weight.size(0), weight.size(1), c.kernel[0], w.taps[0] * c.stride[1],
          w.taps[1] * c.stride[2]};
}

// As winograd_weights reads them: zero where a phase has fewer taps.
at::Tensor taps_of(const at::Tensor& weight, const Conv& c, const Winograd& w) {
  at::Tensor taps = weight.to(at::kFloat);
  if (!has_whole_phases(c, w)) {
    taps = at::zeros(whole_sizes(weight, c, w), floats_beside(weight));
    taps.slice(3, 0, c.kernel[1]).slice(4, 0, c.kernel[2]).copy_(weight);
  }
  return by_phases(c.stride[1] * c.stride[2] == 1 ? taps.contiguous() : taps, c, w);
}

}  // namespace

bool winograd(const at::Tensor& out, const at::Tensor& image, const at::Tensor& weight,
              const at::Tensor& bias, const Conv& c, bool transposed) {
  const Winograd w = plan_winograd(c, image, out, transposed);
  if (!w.pays || !has_dense_runs(out)) return false;
  const WinogradShape& s = w.shape;
  const at::Tensor x = transposed ? in_runs(image) : phases_of(image, c, w);
  const int64_t ci = x.size(1) * x.size(5), co = w.columns * s.stride[0] * s.stride[1];
  const int64_t tiles = out.size(0) * s.down() * s.across();
  const int64_t block = tiles_of_item(s, ci, co, tiles);

  const int64_t strip = s.depth * ci * kStripColumns;
  const at::Tensor packed =
      at::empty({s.points(), point_step(strips_of(co) * strip)}, floats_beside(image));
  const at::Tensor taps = taps_of(weight, c, w);
  Launch(winograd_weights, DType::f32)
      .out(packed)
      .in(transposed ? taps.transpose(0, 1) : taps)
      .ints(ints_of(s))
      .ints({transposed, w.columns})
      .run(strips_of(co) * s.depth * ci, grain_for(s.points() * kStripColumns));
  const int64_t blocks = (tiles + block - 1) / block, deep = planes_of_item(out.size(2), blocks);
  Launch(winograd_family, dtype_of(image))
      .out(out)
      .in(packed)
      .in(x)
      .in(bias.defined() ? bias.to(at::kFloat).contiguous() : bias)
      .ints(ints_of(s))
      .ints({block, deep, w.columns})
      .run(blocks * ((out.size(2) + deep - 1) / deep), 1);
  return true;
}

namespace {

// Sums [1, points, 1, rows, strips of outputs]: all tiles are transformed before products are made.
at::Tensor point_by_point(const at::Tensor& x, const at::Tensor& y, const WinogradShape& s) {
  const int64_t ci = x.size(1) * x.size(5), co = y.size(1);
  const int64_t tiles = y.size(0) * s.down() * s.across();
  // What the products read a second time stays in the shared cache.
  constexpr int64_t kBytesAtOnce = 16 << 20;
  const int64_t each = s.points() * (patch_row(ci) + patch_row(co)) * sizeof(float);
  const int64_t part = even_part(tiles, std::max(kBytesAtOnce / each, kMostTiles), kTileStep);

  const at::TensorOptions options = floats_beside(x);
  const auto points = [&](int64_t channels) {
    const int64_t row = patch_row(channels), step = point_step(part * row);
    return at::empty({s.points(), step}, options)
        .as_strided({s.points(), part, row}, {step, row, 1});
  };
  const at::Tensor patches = points(ci), grads = points(co);
  const at::Tensor sums =
      at::empty({s.points(), whole_tiles(ci), strips_of(co) * kStripColumns}, options);
  for (int64_t first = 0; first < tiles; first += part) {
    const int64_t many = std::min(part, tiles - first);
    Launch(winograd_points, dtype_of(x))
        .out(patches)
        .out(grads)
        .in(x)
        .in(y)
        .ints(ints_of(s))
        .ints({first, many})
        .run((many + kMostTiles - 1) / kMostTiles, 1);
    Launch(winograd_products, DType::f32)
        .out(sums)
        .in(patches)
        .in(grads)
        .ints({ci, many, first > 0})
        .run(s.points() * strips_of(co), grain_for(many * ci * kStripColumns / 8));
  }
  return sums.unsqueeze(0).unsqueeze(2);
}

// Sums [chunks, points, kd, rows, strips of outputs] that stay in the second level.
at::Tensor chunk_by_chunk(const at::Tensor& x, const at::Tensor& y, const WinogradShape& s) {
  constexpr int64_t kChunks = 8;
  const int64_t ci = x.size(1) * x.size(5), co = y.size(1);
  const int64_t tiles = y.size(0) * s.down() * s.across();
  const int64_t many = std::max((tiles + kChunks - 1) / kChunks, kGradientTiles);
  const int64_t chunks = (tiles + many - 1) / many;
  const at::Tensor sums =
      at::empty({chunks, s.points(), s.depth, whole_tiles(ci), strips_of(co) * kStripColumns},
                floats_beside(x));
  Launch(winograd_gradient, dtype_of(x))
      .out(sums)
      .in(x)
      .in(y)
      .ints(ints_of(s))
      .ints({many})
      .run(chunks, 1);
  return sums;
}

}  // namespace

bool winograd_weight(const at::Tensor& grad_weight, const at::Tensor& grad_out,
                     const at::Tensor& image, const Conv& c) {
  const Winograd w = plan_winograd(c, image, grad_out, false);
  if (!w.pays) return false;
  const WinogradShape& s = w.shape;
  const int64_t co = grad_out.size(1), ci = image.size(1);
  const bool few = sums_stay(s, ci * c.stride[1] * c.stride[2], co);
  if (!few && (s.depth > 1 || grad_out.size(2) > 1)) return false;
  const at::Tensor x = phases_of(image, c, w), y = in_runs(grad_out);
  const at::Tensor sums = few ? chunk_by_chunk(x, y, s) : point_by_point(x, y, s);
  const bool direct = grad_weight.scalar_type() == at::kFloat && has_whole_phases(c, w);
  const at::Tensor taps =
      direct ? grad_weight : at::empty(whole_sizes(grad_weight, c, w), floats_beside(image));
  Launch(winograd_taps, DType::f32)
      .out(by_phases(taps, c, w))
      .in(sums)
      .ints(ints_of(s))
      .run(strips_of(co) * s.depth * x.size(1) * x.size(5), grain_for(s.points() * kStripColumns));
  if (!direct)
    at::Tensor(grad_weight).copy_(taps.slice(3, 0, c.kernel[1]).slice(4, 0, c.kernel[2]));
  return true;
}

}  // namespace trn::ops
