// Products of float8 matrices with scales: one for a whole matrix, or one for each row and column.
#include <ATen/core/TensorBody.h>
#include <ATen/native/Resize.h>
#include <ATen/native/ScaledBlasUtils.h>
#include <ATen/ops/empty.h>

#include "ops/matmul.h"

namespace trn::ops {
namespace {

using Optional = std::optional<at::Tensor>;
using at::native::scaled::convert_int_to_enum;

// One factor for each of a's rows and b's columns is a column and a row; one for all is either.
bool is_whole(const at::Tensor& scale) {
  return scale.scalar_type() == at::kFloat && scale.numel() == 1;
}
bool is_by_row(const at::Tensor& scale, int64_t rows) {
  return scale.scalar_type() == at::kFloat && scale.dim() == 2 && scale.size(0) == rows &&
         scale.size(1) == 1 && scale.is_contiguous();
}

bool has_kernel(const at::Tensor& a, const at::Tensor& b, const at::Tensor& scale_a,
                const at::Tensor& scale_b) {
  if (!at::isFloat8Type(a.scalar_type()) || !at::isFloat8Type(b.scalar_type())) return false;
  if (is_whole(scale_a) && is_whole(scale_b)) return true;
  return is_by_row(scale_a, a.size(0)) && scale_b.dim() == 2 && is_by_row(scale_b.t(), b.size(1));
}

void check_shapes(const at::Tensor& a, const at::Tensor& b) {
  TORCH_CHECK(a.dim() == 2, "mat1 must be a matrix");
  TORCH_CHECK(b.dim() == 2, "mat2 must be a matrix");
  TORCH_CHECK(a.size(1) == b.size(0), "mat1 and mat2 shapes cannot be multiplied (", a.size(0), "x",
              a.size(1), " and ", b.size(0), "x", b.size(1), ")");
}

void check_types(const at::Tensor& a, const at::Tensor& b, const Optional& bias,
                 std::optional<at::ScalarType> out_dtype, const at::Tensor& out) {
  TORCH_CHECK(a.size(1) % 16 == 0, "Expected trailing dimension of mat1 to be divisible by 16 ",
              "but got mat1 shape: (", a.size(0), "x", a.size(1), ").");
  TORCH_CHECK(b.size(0) % 16 == 0 && b.size(1) % 16 == 0, "mat2 shape (", b.size(0), "x", b.size(1),
              ") must be divisible by 16");
  TORCH_CHECK(!out_dtype || *out_dtype == out.scalar_type(),
              "out_dtype must match output matrix type");
  TORCH_CHECK_VALUE(a.scalar_type() != at::kFloat8_e5m2 || b.scalar_type() != at::kFloat8_e5m2,
                    "Multiplication of two Float8_e5m2 matrices is not supported");
  if (!bias) return;
  const at::ScalarType kind = bias->scalar_type();
  TORCH_CHECK(bias->numel() == b.size(1), "Bias must be size ", b.size(1), " but got ",
              bias->numel());
  TORCH_CHECK(out.scalar_type() != at::kFloat,
              "Bias is not supported when out_dtype is set to Float32");
  TORCH_CHECK(kind == at::kBFloat16 || kind == at::kHalf, "Bias must be BFloat16 or Half, but got ",
              kind);
  TORCH_CHECK(out.scalar_type() != at::kBFloat16 || kind == at::kBFloat16,
              "Bias must be BFloat16 to compute ", out.scalar_type(), " output, but got ", kind);
  TORCH_CHECK(out.scalar_type() != at::kHalf || kind == at::kHalf,
              "Bias must be Float16 to compute ", out.scalar_type(), " output, but got ", kind);
}

// out = (a b) scale_a scale_b + bias. Every float8 number is a bfloat16 number, so the product of
// the converted matrices, kept in float32, is that of the matrices themselves.
void scaled_product(const at::Tensor& out, const at::Tensor& a, const at::Tensor& b,
                    const at::Tensor& scale_a, const at::Tensor& scale_b, const Optional& bias,
                    const Optional& scale_result) {
  at::native::resize_output(out, {a.size(0), b.size(1)});
  at::Tensor sum = at::empty(out.sizes(), out.options().dtype(at::kFloat));
  matmul_into(sum, a.to(at::kBFloat16), b.to(at::kBFloat16));
  const auto factor = [](const at::Tensor& scale) {
    return scale.numel() == 1 ? scale.reshape({}) : scale;
  };
  sum.mul_(factor(scale_a)).mul_(factor(scale_b));
  if (bias) sum.add_(bias->reshape({-1}));
  if (!at::isFloat8Type(out.scalar_type())) {
    out.copy_(sum);
    return;
  }
  if (scale_result) sum.mul_(scale_result->reshape({}));
  // cuBLAS keeps to the largest number of the type where a conversion would give none.
  const double most = out.scalar_type() == at::kFloat8_e5m2 ? 57344 : 448;
  out.copy_(sum.clamp_(-most, most));
}

}  // namespace

at::Tensor& TRN_OP(_scaled_mm_out)(const at::Tensor& self, const at::Tensor& mat2,
                                   const at::Tensor& scale_a, const at::Tensor& scale_b,
                                   const Optional& bias, const Optional& scale_result,
                                   std::optional<at::ScalarType> out_dtype, bool use_fast_accum,
                                   at::Tensor& out) {
  check_shapes(self, mat2);
  if (!has_kernel(self, mat2, scale_a, scale_b))
    return fallback<at::_ops::_scaled_mm_out>("scales of blocks", self, mat2, scale_a, scale_b,
                                              bias, scale_result, out_dtype, use_fast_accum, out);
  TORCH_CHECK(
      !scale_result || (scale_result->numel() == 1 && scale_result->scalar_type() == at::kFloat),
      "scale_result must be a float scalar");
  check_types(self, mat2, bias, out_dtype, out);
  scaled_product(out, self, mat2, scale_a, scale_b, bias, scale_result);
  return out;
}

at::Tensor TRN_OP(_scaled_mm)(const at::Tensor& self, const at::Tensor& mat2,
                              const at::Tensor& scale_a, const at::Tensor& scale_b,
                              const Optional& bias, const Optional& scale_result,
                              std::optional<at::ScalarType> out_dtype, bool use_fast_accum) {
  at::Tensor out = at::empty({0}, self.options().dtype(out_dtype.value_or(self.scalar_type())));
  return _scaled_mm_out(self, mat2, scale_a, scale_b, bias, scale_result, out_dtype, use_fast_accum,
                        out);
}

// The same with the kind of scaling named; swizzled scales are those of blocks.
at::Tensor& TRN_OP(_scaled_mm_v2_out)(const at::Tensor& self, const at::Tensor& mat2,
                                      at::TensorList scale_a, at::IntArrayRef recipe_a,
                                      at::IntArrayRef swizzle_a, at::TensorList scale_b,
                                      at::IntArrayRef recipe_b, at::IntArrayRef swizzle_b,
                                      const Optional& bias, std::optional<at::ScalarType> out_dtype,
                                      at::IntArrayRef contraction_dim, bool use_fast_accum,
                                      at::Tensor& out) {
  check_shapes(self, mat2);
  auto kinds_a = convert_int_to_enum<at::blas::ScalingType>(recipe_a);
  auto kinds_b = convert_int_to_enum<at::blas::ScalingType>(recipe_b);
  const auto matches = [&](auto&& accepts) {
    return accepts(self.scalar_type(), kinds_a, scale_a, mat2.scalar_type(), kinds_b, scale_b);
  };
  if (!matches(at::native::scaled::check_tensorwise_recipe) &&
      !matches(at::native::scaled::check_rowwise_recipe))
    return fallback<at::_ops::_scaled_mm_v2_out>("scales of blocks", self, mat2, scale_a, recipe_a,
                                                 swizzle_a, scale_b, recipe_b, swizzle_b, bias,
                                                 out_dtype, contraction_dim, use_fast_accum, out);
  check_types(self, mat2, bias, out_dtype, out);
  scaled_product(out, self, mat2, scale_a[0], scale_b[0], bias, {});
  return out;
}

at::Tensor TRN_OP(_scaled_mm_v2)(const at::Tensor& self, const at::Tensor& mat2,
                                 at::TensorList scale_a, at::IntArrayRef recipe_a,
                                 at::IntArrayRef swizzle_a, at::TensorList scale_b,
                                 at::IntArrayRef recipe_b, at::IntArrayRef swizzle_b,
                                 const Optional& bias, std::optional<at::ScalarType> out_dtype,
                                 at::IntArrayRef contraction_dim, bool use_fast_accum) {
  at::Tensor out = at::empty({0}, self.options().dtype(out_dtype.value_or(self.scalar_type())));
  return _scaled_mm_v2_out(self, mat2, scale_a, recipe_a, swizzle_a, scale_b, recipe_b, swizzle_b,
                           bias, out_dtype, contraction_dim, use_fast_accum, out);
}

}  // namespace trn::ops
