// sort, topk, kthvalue, median, searchsorted, unique, bincount, and the running extremes.
#include <ATen/TensorOperators.h>
#include <ATen/WrapDimUtils.h>
#include <ATen/native/DispatchStub.h>
#include <ATen/native/ReduceOps.h>
#include <ATen/native/Resize.h>
#include <ATen/native/Sorting.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cumsum.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full.h>
#include <ATen/ops/isnan.h>
#include <ATen/ops/max.h>
#include <ATen/ops/min.h>
#include <ATen/ops/nonzero.h>
#include <ATen/ops/result_type.h>
#include <ATen/ops/sort.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>

#include "ops/index.h"
#include "sort.structured.h"

namespace trn::ops {
namespace {

const Family sort_family("sort"), topk_family("topk"), searchsorted_family("searchsorted"),
    mark_changes("mark_changes"), bincount_family("bincount"), cumsum_family("cumsum"),
    cumprod_family("cumprod"), logcumsumexp_family("logcumsumexp"), cummax_family("cummax"),
    cummin_family("cummin");

int64_t depth(int64_t n) {
  int64_t levels = 1;
  while (n >>= 1) ++levels;
  return levels;
}

// Dense lines along dim, [lines, n].
at::Tensor lines_of(const at::Tensor& t, int64_t dim) {
  if (t.dim() == 0) return t.reshape({1, 1});
  const at::Tensor last = t.movedim(dim, -1).contiguous();
  return last.view({-1, last.size(-1)});
}
// Writes lines back to where they came from.
void put_lines(const at::Tensor& out, const at::Tensor& lines, int64_t dim) {
  if (out.dim() == 0) {
    at::Tensor(out).copy_(lines.view({}));
    return;
  }
  at::Tensor target = out.movedim(dim, -1);
  target.copy_(lines.view(target.sizes()));
}

struct Sorted {
  at::Tensor values, indices;
};
Sorted sort_lines(const at::Tensor& lines, bool descending) {
  Sorted s{lines.clone(), at::empty(lines.sizes(), lines.options().dtype(at::kLong))};
  if (lines.numel() == 0) return s;
  const at::Tensor values = at::empty_like(s.values), indices = at::empty_like(s.indices);
  Launch(sort_family, dtype_of(lines))
      .out(s.values).out(s.indices).out(values).out(indices).ints({descending})
      .run(lines.size(0), grain_for(lines.size(1) * depth(lines.size(1)) * 2));
  return s;
}

void sort_kernel(const at::TensorBase& self, const at::TensorBase& values,
                 const at::TensorBase& indices, int64_t dim, bool descending, bool) {
  const at::Tensor in(self), v(values), x(indices);
  if (in.numel() == 0) return;
  dim = at::maybe_wrap_dim(dim, in.dim());
  const Sorted s = sort_lines(lines_of(in, dim), descending);
  put_lines(v, s.values, dim);
  put_lines(x, s.indices, dim);
}

void scan(const at::Tensor& out, const at::Tensor& self, int64_t dim, const Family& family) {
  if (self.numel() == 0) return;
  dim = at::maybe_wrap_dim(dim, self.dim());
  const at::Tensor in = self.to(out.scalar_type());
  const at::Tensor dense = out.is_contiguous() ? out : at::empty_like(out, at::MemoryFormat::Contiguous);
  const at::Tensor src = three_way(in, dim);
  Launch(family, dtype_of(out)).out(three_way(dense, dim)).in(src)
      .run(src.size(0) * src.size(2), grain_for(src.size(1) * 2));
  if (!dense.is_same(out)) out.copy_(dense);
}
void cumsum_kernel(const at::Tensor& out, const at::Tensor& self, int64_t dim) {
  scan(out, self, dim, cumsum_family);
}
void cumprod_kernel(const at::Tensor& out, const at::Tensor& self, int64_t dim) {
  scan(out, self, dim, cumprod_family);
}

void running_extreme(const at::Tensor& self, at::Tensor& values, at::Tensor& indices, int64_t dim,
                     const Family& family) {
  if (self.numel() == 0) return;
  dim = at::maybe_wrap_dim(dim, self.dim());
  const at::Tensor v = at::empty_like(values, at::MemoryFormat::Contiguous);
  const at::Tensor x = at::empty_like(indices, at::MemoryFormat::Contiguous);
  const at::Tensor src = three_way(self, dim);
  Launch(family, dtype_of(self)).out(three_way(v, dim)).out(three_way(x, dim)).in(src)
      .run(src.size(0) * src.size(2), grain_for(src.size(1) * 3));
  values.copy_(v);
  indices.copy_(x);
}

}  // namespace

TRN_IMPL_FUNC(topk_values)(const at::Tensor& self, int64_t k, int64_t dim, bool largest, bool,
                           const at::Tensor& values, const at::Tensor& indices) {
  if (values.numel() == 0) return;
  dim = at::maybe_wrap_dim(dim, self.dim());
  const at::Tensor in = lines_of(self, dim);
  const at::Tensor v = at::empty({in.size(0), k}, in.options());
  const at::Tensor x = at::empty({in.size(0), k}, indices.options());
  Launch(topk_family, dtype_of(in)).out(v).out(x).in(in).ints({largest})
      .run(in.size(0), grain_for(in.size(1) * 2 + k * depth(k)));
  put_lines(values, v, dim);
  put_lines(indices, x, dim);
}

void TRN_OP(_cummax_helper)(const at::Tensor& self, at::Tensor& values, at::Tensor& indices,
                            int64_t dim) {
  running_extreme(self, values, indices, dim, cummax_family);
}
void TRN_OP(_cummin_helper)(const at::Tensor& self, at::Tensor& values, at::Tensor& indices,
                            int64_t dim) {
  running_extreme(self, values, indices, dim, cummin_family);
}

at::Tensor& TRN_OP(_logcumsumexp_out)(const at::Tensor& self, int64_t dim, at::Tensor& out) {
  at::native::resize_output(out, self.sizes());
  scan(out, self, dim, logcumsumexp_family);
  return out;
}
at::Tensor TRN_OP(_logcumsumexp)(const at::Tensor& self, int64_t dim) {
  at::Tensor out = at::empty_like(self, at::MemoryFormat::Contiguous);
  return ops::_logcumsumexp_out(self, dim, out);
}

namespace {
using Pair = std::tuple<at::Tensor&, at::Tensor&>;

// The element of rank `k` (0-based) of each line, NaN last.
Pair rank_of(const at::Tensor& self, int64_t k, int64_t dim, bool keepdim, at::Tensor& values,
             at::Tensor& indices) {
  std::vector<int64_t> sizes = self.sizes().vec();
  if (!sizes.empty()) sizes[dim] = 1;
  const Sorted s = sort_lines(lines_of(self, dim), false);
  at::Tensor v = s.values.select(1, k), x = s.indices.select(1, k);
  const auto place = [&](at::Tensor& out, const at::Tensor& from) {
    std::vector<int64_t> kept = sizes;
    if (!keepdim && !kept.empty()) kept.erase(kept.begin() + dim);
    at::native::resize_output(out, kept);
    out.copy_(from.reshape(kept));
  };
  place(values, v);
  place(indices, x);
  return {values, indices};
}
}  // namespace

Pair TRN_OP(kthvalue_values)(const at::Tensor& self, int64_t k, int64_t dim, bool keepdim,
                             at::Tensor& values, at::Tensor& indices) {
  dim = at::maybe_wrap_dim(dim, self.dim());
  const int64_t n = self.dim() ? self.size(dim) : 1;
  TORCH_CHECK(k >= 1 && k <= n, "kthvalue(): selected number k out of range for dimension ", dim);
  return rank_of(self, k - 1, dim, keepdim, values, indices);
}

Pair TRN_OP(median_dim_values)(const at::Tensor& self, int64_t dim, bool keepdim,
                               at::Tensor& values, at::Tensor& indices) {
  dim = at::maybe_wrap_dim(dim, self.dim());
  const int64_t n = self.dim() ? self.size(dim) : 1;
  TORCH_CHECK_INDEX(n > 0, "median(): Expected reduction dim ", dim, " to have non-zero size.");
  // Any NaN is the median: it is last in order, so look there first.
  const Sorted s = sort_lines(lines_of(self, dim), false);
  at::Tensor v = s.values.select(1, (n - 1) / 2), x = s.indices.select(1, (n - 1) / 2);
  if (at::isFloatingType(self.scalar_type())) {
    const at::Tensor nan = at::isnan(s.values.select(1, n - 1));
    const at::Tensor first = std::get<1>(at::isnan(lines_of(self, dim)).max(1));
    x = at::where(nan, first, x);
    v = at::where(nan, s.values.select(1, n - 1), v);
  }
  std::vector<int64_t> kept = self.sizes().vec();
  if (!kept.empty()) {
    if (keepdim) kept[dim] = 1;
    else kept.erase(kept.begin() + dim);
  }
  at::native::resize_output(values, kept);
  at::native::resize_output(indices, kept);
  values.copy_(v.reshape(kept));
  indices.copy_(x.reshape(kept));
  return {values, indices};
}

at::Tensor TRN_OP(median)(const at::Tensor& self) {
  if (self.numel() == 0) return at::full({}, NAN, self.options());
  at::Tensor values = at::empty({0}, self.options()),
             indices = at::empty({0}, self.options().dtype(at::kLong));
  ops::median_dim_values(self.reshape({-1}), 0, false, values, indices);
  return values;
}

namespace {
at::Tensor& search(const at::Tensor& sorted, const at::Tensor& self, bool out_int32, bool right,
                   const std::optional<std::string_view>& side,
                   const std::optional<at::Tensor>& sorter, at::Tensor& out) {
  TORCH_CHECK(!side || *side == "left" || *side == "right",
              "torch.searchsorted(): side can only be 'left' or 'right' but got ", *side);
  TORCH_CHECK(sorted.dim() == 1 || (sorted.dim() == self.dim() &&
                  sorted.sizes().slice(0, sorted.dim() - 1).equals(self.sizes().slice(0, self.dim() - 1))),
              "torch.searchsorted(): boundaries tensor should be 1 dimension or the first N-1 "
              "dimensions of boundaries tensor and input value tensor must match, but we got "
              "boundaries tensor ", sorted.sizes(), " and input value tensor ", self.sizes());
  const at::ScalarType type = out_int32 ? at::kInt : at::kLong;
  TORCH_CHECK(out.scalar_type() == type, "torch.searchsorted(): output tensor's dtype is wrong");
  at::native::resize_output(out, self.sizes());
  if (self.numel() == 0) return out;
  const at::ScalarType common = at::result_type(sorted, self);
  const at::Tensor bounds = sorted.to(common).contiguous().view({-1, std::max<int64_t>(1, sorted.size(-1))});
  const at::Tensor values = self.to(common).contiguous();
  const int64_t m = sorted.dim() == 1 ? self.numel() : self.size(-1);
  at::Tensor result = at::empty(self.sizes(), out.options());
  at::Tensor order;
  if (sorter && sorter->defined()) order = sorter->contiguous().view(bounds.sizes());
  if (sorted.size(-1) == 0) {
    result.zero_();
  } else {
    Launch(searchsorted_family, dtype_of(common))
        .out(result.view({-1, m})).in(bounds).in(values.view({-1, m})).in(order)
        .ints({right || (side && *side == "right")})
        .run(self.numel(), grain_for(4 * depth(bounds.size(1))));
  }
  out.copy_(result);
  return out;
}
}  // namespace

at::Tensor& TRN_OP(searchsorted_Tensor_out)(const at::Tensor& sorted_sequence,
                                            const at::Tensor& self, bool out_int32, bool right,
                                            std::optional<std::string_view> side,
                                            const std::optional<at::Tensor>& sorter,
                                            at::Tensor& out) {
  return search(sorted_sequence, self, out_int32, right, side, sorter, out);
}
at::Tensor TRN_OP(searchsorted_Tensor)(const at::Tensor& sorted_sequence, const at::Tensor& self,
                                       bool out_int32, bool right,
                                       std::optional<std::string_view> side,
                                       const std::optional<at::Tensor>& sorter) {
  at::Tensor out = at::empty({0}, self.options().dtype(out_int32 ? at::kInt : at::kLong));
  return search(sorted_sequence, self, out_int32, right, side, sorter, out);
}
at::Tensor& TRN_OP(bucketize_Tensor_out)(const at::Tensor& self, const at::Tensor& boundaries,
                                         bool out_int32, bool right, at::Tensor& out) {
  TORCH_CHECK(boundaries.dim() == 1, "boundaries tensor must be 1 dimension, but got dim(",
              boundaries.dim(), ")");
  return search(boundaries, self, out_int32, right, std::nullopt, std::nullopt, out);
}
at::Tensor TRN_OP(bucketize_Tensor)(const at::Tensor& self, const at::Tensor& boundaries,
                                    bool out_int32, bool right) {
  at::Tensor out = at::empty({0}, self.options().dtype(out_int32 ? at::kInt : at::kLong));
  return ops::bucketize_Tensor_out(self, boundaries, out_int32, right, out);
}

// Sorted, then each value that differs from the one before; sizes are read back, as on CUDA.
std::tuple<at::Tensor, at::Tensor, at::Tensor> TRN_OP(_unique2)(const at::Tensor& self, bool,
                                                                bool return_inverse,
                                                                bool return_counts) {
  const auto longs = self.options().dtype(at::kLong);
  at::Tensor inverse = at::empty({0}, longs), counts = at::empty({0}, longs);
  if (self.numel() == 0) {
    if (return_inverse) inverse = at::empty(self.sizes(), longs);
    return {at::empty({0}, self.options()), inverse, counts};
  }
  const Sorted s = sort_lines(self.contiguous().view({1, -1}), false);
  const at::Tensor values = s.values.view({-1}), order = s.indices.view({-1});
  const at::Tensor flags = at::empty_like(order);
  Launch(mark_changes, dtype_of(self)).out(flags).in(values).run(values.numel(), grain_for(3));
  const at::Tensor starts = at::nonzero(flags).view({-1});
  at::Tensor unique = values.index_select(0, starts);
  if (return_inverse) {
    const at::Tensor rank = at::cumsum(flags, 0) - 1;
    inverse = at::empty({self.numel()}, longs);
    inverse.scatter_(0, order, rank);
    inverse = inverse.view(self.sizes());
  }
  if (return_counts) {
    const at::Tensor ends = at::cat({starts.slice(0, 1), at::full({1}, values.numel(), longs)});
    counts = ends - starts;
  }
  return {unique, inverse, counts};
}
std::tuple<at::Tensor, at::Tensor> TRN_OP(_unique)(const at::Tensor& self, bool sorted,
                                                   bool return_inverse) {
  auto [values, inverse, counts] = ops::_unique2(self, sorted, return_inverse, false);
  return {values, inverse};
}

at::Tensor TRN_OP(bincount)(const at::Tensor& self, const std::optional<at::Tensor>& weights,
                            int64_t minlength) {
  TORCH_CHECK(minlength >= 0, "minlength should be >= 0");
  const bool weighted = weights && weights->defined();
  TORCH_CHECK(self.dim() == 1 && at::isIntegralType(self.scalar_type(), false),
              "bincount only supports 1-d non-negative integral inputs.");
  if (self.numel() == 0)
    return at::zeros({minlength}, self.options().dtype(at::kLong));
  TORCH_CHECK(!weighted || weights->sizes().equals(self.sizes()),
              "weights should be 1-d and have the same length as input");
  TORCH_CHECK(self.min().item<int64_t>() >= 0,
              "bincount only supports 1-d non-negative integral inputs.");
  const int64_t n = std::max(self.max().item<int64_t>() + 1, minlength);
  const at::ScalarType type = !weighted ? at::kLong
                              : weights->scalar_type() == at::kFloat ? at::kFloat : at::kDouble;
  at::Tensor out = at::zeros({n}, self.options().dtype(type));
  at::Tensor w;
  if (weighted) w = weights->to(type).contiguous();
  Launch(bincount_family, dtype_of(type)).out(out).in(self.to(at::kLong).contiguous()).in(w).run(1, 1);
  return out;
}

}  // namespace trn::ops

namespace at::native {
using namespace trn::ops;
REGISTER_PRIVATEUSE1_DISPATCH(sort_stub, &sort_kernel)
REGISTER_PRIVATEUSE1_DISPATCH(cumsum_stub, &cumsum_kernel)
REGISTER_PRIVATEUSE1_DISPATCH(cumprod_stub, &cumprod_kernel)
}  // namespace at::native
