// searchsorted, bucketize and isin.
#include <ATen/native/Resize.h>
#include <ATen/native/TensorCompare.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/result_type.h>
#include <ATen/ops/scalar_tensor.h>

#include "ops/op.h"

namespace trn::ops {
namespace {

const Family searchsorted_family("searchsorted"), isin_family("isin");

int64_t steps(int64_t n) {
  int64_t halvings = 1;
  while (n >>= 1) ++halvings;
  return halvings;
}
}  // namespace

namespace {
// A number as a tensor whose type gives way to the boundaries', as numbers do.
at::Tensor on_device(const at::Scalar& value, const at::Tensor& boundaries) {
  const at::Tensor t = at::scalar_tensor(value, boundaries.options().dtype(value.type()));
  t.unsafeGetTensorImpl()->set_wrapped_number(true);
  return t;
}

at::Tensor& search(const at::Tensor& sorted, const at::Tensor& self, bool out_int32, bool right,
                   const std::optional<std::string_view>& side,
                   const std::optional<at::Tensor>& sorter, at::Tensor& out) {
  TORCH_CHECK(!side || *side == "left" || *side == "right",
              "torch.searchsorted(): side can only be 'left' or 'right' but got ", *side);
  TORCH_CHECK(
      sorted.dim() == 1 ||
          (sorted.dim() == self.dim() &&
           sorted.sizes().slice(0, sorted.dim() - 1).equals(self.sizes().slice(0, self.dim() - 1))),
      "torch.searchsorted(): boundaries tensor should be 1 dimension or the first N-1 "
      "dimensions of boundaries tensor and input value tensor must match, but we got "
      "boundaries tensor ",
      sorted.sizes(), " and input value tensor ", self.sizes());
  const at::ScalarType type = out_int32 ? at::kInt : at::kLong;
  TORCH_CHECK(out.scalar_type() == type, "torch.searchsorted(): output tensor's dtype is wrong");
  at::native::resize_output(out, self.sizes());
  if (self.numel() == 0) return out;
  const at::ScalarType common = at::result_type(sorted, self);
  const at::Tensor bounds =
      sorted.to(common).contiguous().view({-1, std::max<int64_t>(1, sorted.size(-1))});
  const at::Tensor values = self.to(common).contiguous();
  const int64_t m = sorted.dim() == 1 ? self.numel() : self.size(-1);
  at::Tensor result = at::empty(self.sizes(), out.options());
  at::Tensor order;
  if (sorter && sorter->defined()) order = sorter->contiguous().view(bounds.sizes());
  if (sorted.size(-1) == 0) {
    result.zero_();
  } else {
    Launch(searchsorted_family, dtype_of(common))
        .out(result.view({-1, m}))
        .in(bounds)
        .in(values.view({-1, m}))
        .in(order)
        .ints({right || (side && *side == "right")})
        .run(self.numel(), grain_for(4 * steps(bounds.size(1))));
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
at::Tensor& TRN_OP(searchsorted_Scalar_out)(const at::Tensor& sorted_sequence,
                                            const at::Scalar& self, bool out_int32, bool right,
                                            std::optional<std::string_view> side,
                                            const std::optional<at::Tensor>& sorter,
                                            at::Tensor& out) {
  return search(sorted_sequence, on_device(self, sorted_sequence), out_int32, right, side, sorter,
                out);
}
at::Tensor TRN_OP(searchsorted_Scalar)(const at::Tensor& sorted_sequence, const at::Scalar& self,
                                       bool out_int32, bool right,
                                       std::optional<std::string_view> side,
                                       const std::optional<at::Tensor>& sorter) {
  return ops::searchsorted_Tensor(sorted_sequence, on_device(self, sorted_sequence), out_int32,
                                  right, side, sorter);
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

at::Tensor TRN_OP(bucketize_Scalar)(const at::Scalar& self, const at::Tensor& boundaries,
                                    bool out_int32, bool right) {
  return ops::bucketize_Tensor(on_device(self, boundaries), boundaries, out_int32, right);
}

namespace {
void isin_kernel(const at::Tensor& elements, const at::Tensor& test_elements, bool invert,
                 const at::Tensor& out) {
  const at::ScalarType type = at::result_type(elements, test_elements);
  const at::Tensor x = elements.to(type).contiguous(), others = test_elements.to(type).contiguous();
  const at::Tensor result = at::empty(x.sizes(), out.options());
  Launch(isin_family, dtype_of(type))
      .out(result.view({-1}))
      .in(x.view({-1}))
      .in(others.view({-1}))
      .ints({invert})
      .run(x.numel(), grain_for(others.numel()));
  at::Tensor(out).copy_(result);
}
}  // namespace

}  // namespace trn::ops

namespace at::native {
REGISTER_PRIVATEUSE1_DISPATCH(isin_default_stub, &trn::ops::isin_kernel)
}  // namespace at::native
