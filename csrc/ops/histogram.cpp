// bincount, histc, histogram and histogramdd.
#include <ATen/native/Resize.h>
#include <ATen/ops/aminmax.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linspace.h>
#include <ATen/ops/searchsorted.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>

#include <cmath>

#include "ops/op.h"

namespace trn::ops {
namespace {

const Family bincount_family("bincount"), weighted_family("bincount_weighted"),
    histc_family("histc");

// How often each of 0 .. n - 1 is in `places` (others are left out), or the sums of weights.
at::Tensor counts_of(const at::Tensor& places, const at::Tensor& weights, int64_t n) {
  const at::Tensor in = places.to(at::kLong).contiguous();
  if (!weights.defined()) {
    const at::Tensor out = at::zeros({n}, in.options());
    // More counts than values to each thread: one of them alone is faster than all together.
    const bool sparse = n * driver::compute_threads() > in.numel();
    const int64_t grain = sparse ? std::max<int64_t>(1, in.numel()) : grain_for(8);
    Launch(bincount_family, DType::i64).out(out).in(in).run(in.numel(), grain);
    return out;
  }
  const at::ScalarType type = weights.scalar_type() == at::kFloat ? at::kFloat : at::kDouble;
  const at::Tensor out = at::zeros({n}, in.options().dtype(type));
  Launch(weighted_family, dtype_of(type))
      .out(out)
      .in(in)
      .in(weights.to(type).contiguous())
      .run(in.numel() > 0, 1);
  return out;
}

// The outer edges of bins: as given, or the data's where both are alike; never an empty range.
std::pair<double, double> outer_edges(const char* name, const at::Tensor& self, double low,
                                      double high) {
  if (low == high && self.numel() > 0) {
    auto [least, largest] = at::aminmax(self);
    low = least.item().toDouble();
    high = largest.item().toDouble();
  }
  if (low == high) {
    low -= 1;
    high += 1;
  }
  TORCH_CHECK(std::isfinite(low) && std::isfinite(high), name, ": range of [", low, ", ", high,
              "] is not finite");
  TORCH_CHECK(low < high, name, ": max must be larger than min");
  return {low, high};
}

}  // namespace

at::Tensor TRN_OP(bincount)(const at::Tensor& self, const std::optional<at::Tensor>& weights,
                            int64_t minlength) {
  TORCH_CHECK(minlength >= 0, "minlength should be >= 0");
  const bool weighted = weights && weights->defined();
  TORCH_CHECK(self.dim() == 1 && at::isIntegralType(self.scalar_type(), false),
              "bincount only supports 1-d non-negative integral inputs.");
  if (self.numel() == 0) return at::zeros({minlength}, self.options().dtype(at::kLong));
  TORCH_CHECK(!weighted || weights->sizes().equals(self.sizes()),
              "weights should be 1-d and have the same length as input");
  auto [least, largest] = at::aminmax(self);
  TORCH_CHECK(least.item<int64_t>() >= 0,
              "bincount only supports 1-d non-negative integral inputs.");
  const int64_t n = std::max(largest.item<int64_t>() + 1, minlength);
  return counts_of(self, weighted ? *weights : at::Tensor(), n);
}

at::Tensor& TRN_OP(histc_out)(const at::Tensor& self, int64_t bins, const at::Scalar& min,
                              const at::Scalar& max, at::Tensor& out) {
  TORCH_CHECK(bins > 0, "torch.histc(): bins must be > 0");
  TORCH_CHECK(self.scalar_type() != at::kHalf, "HalfTensor is not supported");
  TORCH_CHECK_NOT_IMPLEMENTED(
      self.scalar_type() != at::kBFloat16 && self.scalar_type() != at::kBool,
      "\"histc\" not implemented for '", toString(self.scalar_type()), "'");
  TORCH_CHECK(out.scalar_type() == self.scalar_type(),
              "torch.histc(): expected the result of type ", self.scalar_type(), ", but got ",
              out.scalar_type());
  const auto [low, high] = outer_edges("torch.histc", self, min.toDouble(), max.toDouble());
  at::native::resize_output(out, {bins});
  const at::Tensor in =
      (at::isFloatingType(self.scalar_type()) ? self : self.to(at::kDouble)).contiguous();
  const at::Tensor counts = at::zeros({bins}, self.options().dtype(at::kLong));
  Launch(histc_family, dtype_of(in))
      .out(counts)
      .in(in)
      .reals({low, high})
      .run(in.numel(), grain_for(10));
  return out.copy_(counts);
}
at::Tensor TRN_OP(histc)(const at::Tensor& self, int64_t bins, const at::Scalar& min,
                         const at::Scalar& max) {
  at::Tensor out = at::empty({0}, self.options());
  return ops::histc_out(self, bins, min, max, out);
}

namespace {

// Counts points [n, d] in boxes between edges, one ascending sequence a dimension.
at::Tensor boxes(const at::Tensor& points, at::TensorList edges, const at::Tensor& weights,
                 bool density) {
  std::vector<int64_t> shape;
  at::Tensor place = at::zeros({points.size(0)}, points.options().dtype(at::kLong)), outside;
  for (size_t d = 0; d < edges.size(); ++d) {
    const int64_t bins = edges[d].numel() - 1;
    const at::Tensor x = points.select(1, static_cast<int64_t>(d)).contiguous();
    at::Tensor at = at::searchsorted(edges[d].contiguous(), x, false, /*right=*/true).sub_(1);
    at = at::where(x.eq(edges[d][bins]), bins - 1, at);  // the last edge belongs to its bin
    // NaN compares with nothing, so ask who is inside.
    const at::Tensor inside = x.ge(edges[d][0]).logical_and_(x.le(edges[d][bins]));
    outside = outside.defined() ? outside.logical_or_(inside.logical_not()) : inside.logical_not();
    place = place.mul_(bins).add_(at);
    shape.push_back(bins);
  }
  const at::Tensor sums =
      counts_of(place.masked_fill_(outside, -1), weights, c10::multiply_integers(shape));
  at::Tensor hist = sums.view(shape).to(points.scalar_type());
  if (!density) return hist;
  hist = hist.div(hist.sum());
  for (size_t d = 0; d < edges.size(); ++d) {
    std::vector<int64_t> along(edges.size(), 1);
    along[d] = -1;
    hist = hist.div(edges[d].diff().view(along));
  }
  return hist;
}

at::Tensor as_points(const at::Tensor& self) { return self.reshape({-1, self.size(-1)}); }
at::Tensor flat(const std::optional<at::Tensor>& weight) {
  return weight && weight->defined() ? weight->reshape({-1}) : at::Tensor();
}

std::vector<at::Tensor> even_edges(const at::Tensor& points, at::IntArrayRef bins,
                                   std::optional<at::ArrayRef<double>> range) {
  const int64_t dims = points.size(1);
  TORCH_CHECK(
      static_cast<int64_t>(bins.size()) == dims,
      "histogramdd: The size of bins must be equal to the innermost dimension of the input.");
  TORCH_CHECK(!range || static_cast<int64_t>(range->size()) == 2 * dims,
              "torch.histogramdd: range should have ", 2 * dims, " elements");
  std::vector<at::Tensor> edges;
  for (int64_t d = 0; d < dims; ++d) {
    TORCH_CHECK(bins[d] > 0, "histogramdd(): bins[", d, "] must be > 0");
    double low = 0, high = points.numel() ? 0 : 1;
    if (range) {
      low = (*range)[2 * d];
      high = (*range)[2 * d + 1];
      if (low == high) {
        low -= 0.5;
        high += 0.5;
      }
    } else if (points.numel()) {
      auto [least, largest] = at::aminmax(points.select(1, d));
      low = least.item().toDouble();
      high = largest.item().toDouble();
      if (low == high) {
        low -= 0.5;
        high += 0.5;
      }
    }
    TORCH_CHECK(std::isfinite(low) && std::isfinite(high), "torch.histogram: dimension ", d,
                "'s range [", low, ", ", high, "] is not finite");
    TORCH_CHECK(low <= high, "torch.histogram: min should not exceed max, but got min ", low,
                " max ", high, " for dimension ", d);
    edges.push_back(at::linspace(low, high, bins[d] + 1, points.options()));
  }
  return edges;
}

}  // namespace

std::tuple<at::Tensor, at::Tensor> TRN_OP(histogram_bins_tensor)(
    const at::Tensor& self, const at::Tensor& bins, const std::optional<at::Tensor>& weight,
    bool density) {
  TORCH_CHECK(bins.dim() == 1 && bins.numel() > 1,
              "histogram(): bins tensor should be one-dimensional with at least two elements");
  return {boxes(self.reshape({-1, 1}), {bins}, flat(weight), density), bins.clone()};
}
std::tuple<at::Tensor, at::Tensor> TRN_OP(histogram_bin_ct)(
    const at::Tensor& self, int64_t bins, std::optional<at::ArrayRef<double>> range,
    const std::optional<at::Tensor>& weight, bool density) {
  const at::Tensor points = self.reshape({-1, 1});
  const auto edges = even_edges(points, bins, range);
  return {boxes(points, edges, flat(weight), density), edges[0]};
}
std::vector<at::Tensor> TRN_OP(_histogramdd_bin_edges)(const at::Tensor& self, at::IntArrayRef bins,
                                                       std::optional<at::ArrayRef<double>> range,
                                                       const std::optional<at::Tensor>&, bool) {
  return even_edges(as_points(self), bins, range);
}
at::Tensor TRN_OP(_histogramdd_from_bin_cts)(const at::Tensor& self, at::IntArrayRef bins,
                                             std::optional<at::ArrayRef<double>> range,
                                             const std::optional<at::Tensor>& weight,
                                             bool density) {
  const at::Tensor points = as_points(self);
  return boxes(points, even_edges(points, bins, range), flat(weight), density);
}
at::Tensor TRN_OP(_histogramdd_from_bin_tensors)(const at::Tensor& self, at::TensorList bins,
                                                 const std::optional<at::Tensor>& weight,
                                                 bool density) {
  const at::Tensor points = as_points(self);
  TORCH_CHECK(
      static_cast<int64_t>(bins.size()) == points.size(1),
      "histogramdd: The size of bins must be equal to the innermost dimension of the input.");
  return boxes(points, bins, flat(weight), density);
}

}  // namespace trn::ops
