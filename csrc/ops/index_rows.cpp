// index_select, index_add and index_reduce: a vector of indices along one dimension.
#include <ATen/Dispatch.h>
#include <ATen/MemoryOverlap.h>
#include <ATen/TensorOperators.h>
#include <ATen/WrapDimUtils.h>
#include <ATen/native/Resize.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/zeros_like.h>

#include "index_rows.structured.h"
#include "ops/index.h"
#include "ops/iterator.h"

namespace trn::ops {
namespace {

at::Tensor at_least_1d(const at::Tensor& t) { return t.dim() ? t : t.reshape({1}); }

// A vector of indices along `dim` of an iteration of `sizes`.
at::Tensor spread(const at::Tensor& index, at::IntArrayRef sizes, int64_t dim) {
  std::vector<int64_t> strides(sizes.size(), 0);
  strides[dim] = index.dim() ? index.stride(0) : 0;
  return index.as_strided(sizes, strides);
}

void select_into(const at::Tensor& result, const at::Tensor& from, int64_t dim,
                 const at::Tensor& index) {
  if (result.numel() == 0) return;
  const at::Tensor out = at_least_1d(result), self = at_least_1d(from);
  at::TensorIterator iter =
      iterate(out, {under_index(self, out.sizes(), dim), spread(index, out.sizes(), dim)});
  read_indexed(iter, {{self.size(dim), self.stride(dim)}, /*wrap=*/false});
}

// result[:, index[j], :] (op)= source[:, j, :] in the order of j.
void combine_rows(const at::Tensor& result, int64_t dim, const at::Tensor& index,
                  const at::Tensor& given, Reduction how, const at::Scalar& alpha) {
  if (given.numel() == 0 || index.numel() == 0) return;
  const at::Tensor out = at_least_1d(result), source = at_least_1d(given);
  const at::IntArrayRef sizes = source.sizes();
  const at::TensorIterator iter =
      iterate(under_index(out, sizes, dim), {source, spread(index, sizes, dim)});
  write_indexed({iterator_operand(iter, 0), iterator_operand(iter, 1), iterator_operand(iter, 2)},
                out.scalar_type(), iterator_device(iter), {{out.size(dim), out.stride(dim)}, false},
                how, alpha);
}

int64_t wrapped(int64_t dim, const at::Tensor& t) {
  return t.dim() ? at::maybe_wrap_dim(dim, t.dim()) : 0;
}

}  // namespace

at::Tensor& TRN_OP(index_select_out)(const at::Tensor& self, int64_t dim, const at::Tensor& index,
                                     at::Tensor& out) {
  dim = at::maybe_wrap_dim(dim, self.dim());
  TORCH_CHECK_INDEX(index.dim() <= 1,
                    "index_select(): Index is supposed to be a vector, but got dim: ", index.dim(),
                    " with type: ", index.scalar_type(), " and size: ", index.sizes());
  TORCH_CHECK(
      index.scalar_type() == at::kLong || index.scalar_type() == at::kInt,
      "index_select(): Expected dtype int32 or int64 for index but got: ", index.scalar_type());
  TORCH_CHECK(self.scalar_type() == out.scalar_type(),
              "index_select(): self and result must have the same scalar type");
  TORCH_CHECK(self.dim() > 0 || index.numel() == 1,
              "index_select(): Index to scalar can have only 1 value, got ", index.numel(),
              " value(s)");
  at::DimVector sizes(self.sizes());
  if (self.dim()) sizes[dim] = index.numel();
  at::assert_no_internal_overlap(out);
  at::native::resize_output(out, sizes);
  at::assert_no_overlap(out, self);
  at::assert_no_overlap(out, index);
  select_into(out, self, dim, index);
  return out;
}

at::Tensor TRN_OP(index_select)(const at::Tensor& self, int64_t dim, const at::Tensor& index) {
  at::Tensor out = at::empty({0}, self.options());
  return ops::index_select_out(self, dim, index, out);
}

TRN_IMPL_FUNC(index_add_out)
(const at::Tensor& self, int64_t dim, const at::Tensor& index, const at::Tensor& source,
 const at::Scalar& alpha, const at::Tensor& out) {
  if (!out.is_same(self)) out.copy_(self);
  const bool plain = !alpha.isComplex() && alpha.toDouble() == 1;
  combine_rows(out, wrapped(dim, out), index, source, plain ? kSum : kScaledSum, alpha);
}

at::Scalar start_of(std::string_view reduce, at::ScalarType type) {
  if (reduce == "prod") return 1;
  if (reduce == "mean" || reduce == "sum") return 0;
  const bool largest = reduce == "amax";
  if (at::isFloatingType(type)) return largest ? -INFINITY : INFINITY;
  if (type == at::kBool) return !largest;
  return AT_DISPATCH_INTEGRAL_TYPES(type, "index_reduce", [&] {
    using Limits = std::numeric_limits<scalar_t>;
    return at::Scalar(static_cast<int64_t>(largest ? Limits::lowest() : Limits::max()));
  });
}

TRN_IMPL_FUNC(index_reduce_out)
(const at::Tensor& self, int64_t dim, const at::Tensor& index, const at::Tensor& source,
 std::string_view reduce, bool include_self, const at::Tensor& result) {
  TORCH_WARN_ONCE("index_reduce() is in beta and the API may change at any time.");
  TORCH_CHECK(reduce == "prod" || reduce == "mean" || reduce == "amax" || reduce == "amin",
              "reduce argument must be either prod, mean, amax or amin, got ", reduce, ".");
  at::Tensor out = result;
  if (!out.is_same(self)) out.copy_(self);
  dim = wrapped(dim, out);
  if (!include_self) out.index_fill_(dim, index.to(at::kLong), start_of(reduce, out.scalar_type()));
  combine_rows(out, dim, index, source,
               reduce == "prod"   ? kProduct
               : reduce == "mean" ? kSum
               : reduce == "amax" ? kMaximum
                                  : kMinimum,
               1);
  if (reduce != "mean") return;
  at::Tensor counts = include_self ? at::ones_like(out) : at::zeros_like(out);
  counts.index_add_(dim, index, at::ones_like(source));
  counts.masked_fill_(counts == 0, 1);
  if (at::isFloatingType(out.scalar_type())) out.div_(counts);
  else out.div_(counts, "floor");
}

}  // namespace trn::ops
