// Quantized tensors: made from numbers, turned back, copied. Their arithmetic falls back.
#include "ops/quantize.h"

#include <ATen/TensorOperators.h>
#include <ATen/native/quantized/AffineQuantizer.h>
#include <ATen/ops/_copy_from.h>
#include <ATen/ops/clamp.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/round.h>
#include <ATen/quantized/Quantizer.h>
#include <torch/library.h>

#include "ops/op.h"

namespace trn::ops {

at::Tensor along(const at::Tensor& t, const at::Tensor& of, int64_t axis, at::ScalarType type) {
  std::vector<int64_t> sizes(of.dim(), 1);
  sizes[axis] = -1;
  return t.to(type).view(sizes);
}

namespace {

// The integers that a quantized tensor holds, in its own memory.
at::Tensor integers_of(const at::Tensor& q) {
  at::Tensor t = at::empty({0}, at::device(q.device()).dtype(at::toUnderlying(q.scalar_type())));
  return t.set_(q.storage(), q.storage_offset(), q.sizes(), q.strides());
}

struct Bounds {
  int64_t low, high;
};
Bounds bounds_of(at::ScalarType quantized) {
  switch (at::toUnderlying(quantized)) {
    case at::kChar: return {-128, 127};
    case at::kByte: return {0, 255};
    default: return {std::numeric_limits<int32_t>::lowest(), std::numeric_limits<int32_t>::max()};
  }
}

void quantize_into(const at::Tensor& q, const at::Tensor& rounded) {
  const Bounds b = bounds_of(q.scalar_type());
  // Doubles hold every int32: a float32 next to its bound would not.
  const at::Tensor exact = b.high > 255 ? rounded.to(at::kDouble) : rounded;
  integers_of(q).copy_(at::clamp(exact, b.low, b.high));
}

void quantize_whole(const at::Tensor& r, at::Tensor& q, double scale, int64_t zero_point) {
  // As the CPU: one float reciprocal, rounded to even, then moved by the zero point.
  const float inverse = 1.0f / static_cast<float>(scale);
  quantize_into(q, at::round(r * inverse) + zero_point);
}

void quantize_channels(const at::Tensor& r, at::Tensor& q, const at::Tensor& scales,
                       const at::Tensor& zero_points, int64_t axis) {
  const at::Tensor inverse = along(scales, r, axis, at::kFloat).reciprocal();
  quantize_into(q, at::round(r * inverse) + along(zero_points, r, axis, at::kFloat));
}

// Zero points between the numbers: added before the sum is rounded.
void quantize_channels_finely(const at::Tensor& r, at::Tensor& q, const at::Tensor& scales,
                              const at::Tensor& zero_points, int64_t axis) {
  const at::Tensor inverse = along(scales, r, axis, at::kFloat).reciprocal();
  quantize_into(q, at::round(r * inverse + along(zero_points, r, axis, at::kFloat)));
}

void dequantize_whole(const at::Tensor& q, at::Tensor& r, double scale, int64_t zero_point) {
  r.copy_((integers_of(q).to(at::kFloat) - zero_point) * static_cast<float>(scale));
}

void dequantize_channels(const at::Tensor& q, at::Tensor& r, const at::Tensor& scales,
                         const at::Tensor& zero_points, int64_t axis) {
  r.copy_((integers_of(q).to(at::kFloat) - along(zero_points, q, axis, at::kFloat)) *
          along(scales, q, axis, at::kFloat));
}

at::Tensor int_repr(const at::Tensor& self) { return integers_of(self).clone(); }

at::Tensor copy_from(const at::Tensor& self, const at::Tensor& dst, bool non_blocking) {
  if (!self.is_quantized()) {  // numbers into a quantized tensor: with the scale it has
    const at::Tensor numbers = self.to(dst.device()).to(at::kFloat);
    TORCH_CHECK(dst.qscheme() == at::kPerTensorAffine,
                "Quantized copy only works with per tensor affine quantization scheme");
    at::Tensor to = dst;
    quantize_whole(numbers.expand_as(dst), to, dst.q_scale(), dst.q_zero_point());
    return dst;
  }
  TORCH_CHECK(dst.is_quantized(),
              "Copying from quantized Tensor to non-quantized Tensor is not allowed, please use "
              "dequantize to get a float Tensor from a quantized Tensor");
  TORCH_CHECK(self.qscheme() == dst.qscheme(), "Quantized Copy only works with same qscheme");
  TORCH_CHECK(self.scalar_type() == dst.scalar_type(),
              "Quantized copy expects the same types, got ", self.scalar_type(), " and ",
              dst.scalar_type());
  at::set_quantizer_(dst, self.quantizer());
  at::_copy_from(integers_of(self), integers_of(dst), non_blocking);
  return dst;
}

TORCH_LIBRARY_IMPL(aten, QuantizedPrivateUse1, m) {
  m.impl("int_repr", &int_repr);
  m.impl("_copy_from", &copy_from);
}

}  // namespace
}  // namespace trn::ops

namespace at::native {
using namespace trn::ops;
REGISTER_PRIVATEUSE1_DISPATCH(quantize_tensor_per_tensor_affine_stub, &quantize_whole)
REGISTER_PRIVATEUSE1_DISPATCH(quantize_tensor_per_channel_affine_stub, &quantize_channels)
REGISTER_PRIVATEUSE1_DISPATCH(dequantize_tensor_per_tensor_affine_stub, &dequantize_whole)
REGISTER_PRIVATEUSE1_DISPATCH(dequantize_tensor_per_channel_affine_stub, &dequantize_channels)
REGISTER_PRIVATEUSE1_DISPATCH(quantize_tensor_per_channel_float_qparams_stub,
                              &quantize_channels_finely)
REGISTER_PRIVATEUSE1_DISPATCH(dequantize_tensor_per_channel_float_qparams_stub,
                              &dequantize_channels)
}  // namespace at::native
