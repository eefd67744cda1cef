// unique and unique_consecutive, of elements and of slices. Sizes are read back, as on CUDA.
#include <ATen/WrapDimUtils.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cumsum.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/nonzero.h>
#include <ATen/ops/sort.h>

#include "ops/op.h"

namespace trn::ops {
namespace {

const Family mark_changes("mark_changes"), order_rows("order_rows");

using Unique = std::tuple<at::Tensor, at::Tensor, at::Tensor>;

// What is unique in rows [n, m] of which equal ones are neighbours, n > 0. `order` says where a
// row stood at first; undefined if it stands there still.
Unique unique_rows(const at::Tensor& rows, const at::Tensor& order, bool inverse, bool counts) {
  const auto longs = rows.options().dtype(at::kLong);
  const int64_t n = rows.size(0);
  const at::Tensor flags = at::empty({n}, longs);
  Launch(mark_changes, dtype_of(rows)).out(flags).in(rows).run(n, grain_for(rows.size(1) + 2));
  const at::Tensor starts = at::nonzero(flags).view({-1});
  Unique u{rows.index_select(0, starts), at::empty({0}, longs), at::empty({0}, longs)};
  if (inverse) {
    const at::Tensor rank = at::cumsum(flags, 0).sub_(1);
    std::get<1>(u) = order.defined() ? at::empty({n}, longs).scatter_(0, order, rank) : rank;
  }
  if (counts) std::get<2>(u) = at::cat({starts.slice(0, 1), at::full({1}, n, longs)}).sub_(starts);
  return u;
}

Unique nothing(const at::Tensor& values, at::IntArrayRef inverse_shape) {
  const auto longs = values.options().dtype(at::kLong);
  return {values, at::empty(inverse_shape, longs), at::empty({0}, longs)};
}

Unique unique_elements(const at::Tensor& self, bool sort, bool inverse, bool counts) {
  if (self.numel() == 0)
    return nothing(at::empty({0}, self.options()), inverse ? self.sizes() : at::IntArrayRef{0});
  at::Tensor values = self.reshape({-1}), order;
  if (sort) std::tie(values, order) = at::sort(values, /*stable=*/true, 0, false);
  auto [unique, places, times] =
      unique_rows(values.contiguous().view({-1, 1}), order, inverse, counts);
  if (inverse) places = places.view(self.sizes());
  return {unique.view({-1}), places, times};
}

Unique unique_slices(const at::Tensor& self, int64_t dim, bool sort, bool inverse, bool counts) {
  dim = at::maybe_wrap_dim(dim, self.dim());
  const int64_t n = self.dim() ? self.size(dim) : 1;
  const auto sizes = self.sizes();
  const auto zeros = std::count(sizes.begin(), sizes.end(), int64_t{0});
  if (n == 0) {
    TORCH_CHECK(zeros == 1,
                "Number of zero sized dimensions is more than one, so unique cannot be "
                "applied ");
    return nothing(at::empty(sizes, self.options()), {0});
  }
  TORCH_CHECK(
      zeros == 0,
      "There are 0 sized dimensions, and they aren't selected, so unique cannot be applied");
  const at::Tensor first = self.dim() ? self.movedim(dim, 0) : self.view({1});
  at::Tensor rows = first.reshape({n, -1}).contiguous(), order;
  if (sort) {
    order = at::empty({2, n}, self.options().dtype(at::kLong));
    Launch(order_rows, dtype_of(rows)).out(order).in(rows).run(1, 1);
    order = order[0];
    rows = rows.index_select(0, order);
  }
  auto [unique, places, times] = unique_rows(rows, order, inverse, counts);
  std::vector<int64_t> shape = first.sizes().vec();
  shape[0] = unique.size(0);
  unique = unique.view(shape);
  return {self.dim() ? unique.movedim(0, dim).contiguous() : unique, places, times};
}

}  // namespace

Unique TRN_OP(_unique2)(const at::Tensor& self, bool, bool return_inverse, bool return_counts) {
  return unique_elements(self, true, return_inverse, return_counts);
}
std::tuple<at::Tensor, at::Tensor> TRN_OP(_unique)(const at::Tensor& self, bool,
                                                   bool return_inverse) {
  auto [values, inverse, counts] = unique_elements(self, true, return_inverse, false);
  return {values, inverse};
}
Unique TRN_OP(unique_dim)(const at::Tensor& self, int64_t dim, bool, bool return_inverse,
                          bool return_counts) {
  return unique_slices(self, dim, true, return_inverse, return_counts);
}
Unique TRN_OP(unique_dim_consecutive)(const at::Tensor& self, int64_t dim, bool return_inverse,
                                      bool return_counts) {
  return unique_slices(self, dim, false, return_inverse, return_counts);
}
Unique TRN_OP(unique_consecutive)(const at::Tensor& self, bool return_inverse, bool return_counts,
                                  std::optional<int64_t> dim) {
  if (dim && self.dim() > 1) return unique_slices(self, *dim, false, return_inverse, return_counts);
  if (dim) at::maybe_wrap_dim(*dim, self.dim());
  return unique_elements(self, false, return_inverse, return_counts);
}

}  // namespace trn::ops
