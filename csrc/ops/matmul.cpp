// The matmul family: mm, addmm, bmm, baddbmm, addmv, dot.
#include "ops/matmul.h"

#include <ATen/native/Resize.h>
#include <ATen/ops/add.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_strided.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/neg.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/sub.h>
#include <ATen/ops/view_as_real.h>

#include "matmul.structured.h"

namespace trn::ops {
namespace {

bool is_generic(DType t) {
  return t <= DType::i64 || t == DType::b8 || t == DType::c64 || t == DType::c128;
}

// Real and imaginary parts as elements of one dimension.
at::Tensor parts_of(const at::Tensor& t) { return at::view_as_real(t).flatten(-2); }

// A product of complex numbers as one of reals: C = A B' with A [m, 2 k] as it lies, the rows of B'
// [2 k, 2 n] being, in turn, rows of B and of i B, and C [m, 2 n] as it is to lie.
void multiply_parts(const at::Tensor& out, const at::Tensor& a, const at::Tensor& b,
                    const at::Tensor& added, const at::Scalar& alpha, const at::Scalar& beta) {
  const at::Tensor left = a.contiguous();
  const bool scaled = alpha.toComplexDouble() != 1.0;
  const at::Tensor from = at::view_as_real(scaled ? b * alpha : b);
  at::DimVector sizes(b.sizes());
  sizes.insert(sizes.end() - 1, 2);
  sizes.push_back(2);
  const at::Tensor right = at::empty(sizes, from.options().memory_format(std::nullopt));
  right.select(-3, 0).copy_(from);
  const at::Tensor turned = right.select(-3, 1);
  at::Tensor negative = turned.select(-1, 0);
  at::neg_out(negative, from.select(-1, 1));
  turned.select(-1, 1).copy_(from.select(-1, 0));
  const at::Tensor to = out.stride(-1) == 1 ? out : at::empty(out.sizes(), out.options());
  at::Tensor add;
  if (added.defined() && beta.toComplexDouble() != 0.0)
    add = parts_of((added * beta).expand(out.sizes()).contiguous());
  matmul_into(parts_of(to), parts_of(left), right.flatten(-2).flatten(-3, -2), add, 1,
              add.defined());
  if (!to.is_same(out)) at::Tensor(out).copy_(to);
}

// The same of few rows or columns, where the larger factor is to be read once, as it lies:
// Re(A) B + i Im(A) B are the two halves of one product of reals.
void multiply_few_parts(const at::Tensor& out, const at::Tensor& a, const at::Tensor& b,
                        const at::Tensor& added, const at::Scalar& alpha, const at::Scalar& beta) {
  const at::Tensor add = added.defined() ? added.expand(out.sizes()) : added;
  if (out.dim() == 1) {
    const at::Tensor row = add.defined() ? add.unsqueeze(0) : add;
    return multiply_few_parts(out.unsqueeze(0), a.unsqueeze(0), b, row, alpha, beta);
  }
  const at::Tensor turned = add.defined() ? add.mT() : add;
  if (out.size(-1) < out.size(-2))
    return multiply_few_parts(out.mT(), b.mT(), a.mT(), turned, alpha, beta);
  if (!b.is_contiguous()) return multiply_parts(out.mT(), b.mT(), a.mT(), turned, alpha, beta);
  const int64_t m = a.size(-2);
  const bool scaled = alpha.toComplexDouble() != 1.0;
  const at::Tensor from = at::view_as_real(scaled ? a * alpha : a);
  const at::Tensor left = at::cat({from.select(-1, 0), from.select(-1, 1)}, -2);
  at::DimVector sizes(out.sizes());
  sizes[sizes.size() - 2] *= 2;
  sizes.back() *= 2;
  const at::Tensor both = at::empty(sizes, left.options());
  matmul_into(both, left, parts_of(b));
  const bool adds = add.defined() && beta.toComplexDouble() != 0.0;
  const at::Tensor more = adds ? add * beta : add, to = at::view_as_real(out);
  const at::Tensor pairs = both.unflatten(-1, {-1, 2});
  const auto part = [&](int64_t first, int64_t which) {
    return pairs.narrow(-3, first, m).select(-1, which);
  };
  at::Tensor real = to.select(-1, 0), imaginary = to.select(-1, 1);
  at::sub_out(real, part(0, 0), part(m, 1));
  at::add_out(imaginary, part(0, 1), part(m, 0));
  if (adds) at::Tensor(out).add_(more);
}

// Where copies of the factors cost little beside their product. What is copied twice over is B.
constexpr int64_t kFew = 8;
bool multiplies_parts(const at::Tensor& out, int64_t m, int64_t n, int64_t k) {
  constexpr int64_t kProducts = 1 << 15;
  return out.is_complex() && k >= kFew && m * n * k >= kProducts;
}

}  // namespace

at::Tensor empty_apart(at::IntArrayRef sizes, const at::TensorOptions& options) {
  const int64_t size = static_cast<int64_t>(options.dtype().itemsize());
  at::DimVector strides(sizes.size(), 1);
  for (size_t d = sizes.size() - 1; d-- > 0;) {
    strides[d] = strides[d + 1] * sizes[d + 1];
    if (d + 2 == sizes.size() && rows_collide(strides[d] * size)) strides[d] += kApartBytes / size;
  }
  return at::empty_strided(sizes, strides, options);
}

at::Tensor rows_apart(const at::Tensor& a, const Tiling& t) {
  if (t.across < kApartTiles || !a.is_contiguous() || !reads_rows(dtype_of(a))) return a;
  if (!rows_collide(a.size(-1) * a.element_size())) return a;
  return empty_apart(a.sizes(), a.options()).copy_(a);
}

void matmul_into(const at::Tensor& out, const at::Tensor& left, const at::Tensor& right,
                 const at::Tensor& added, const at::Scalar& alpha, const at::Scalar& beta) {
  TORCH_CHECK(left.scalar_type() == right.scalar_type(),
              "expected mat1 and mat2 to have the same dtype, but got: ", left.dtype(),
              " != ", right.dtype());
  if (out.numel() == 0) return;
  // Products are handed conjugate views as they are; the kernels read memory.
  const auto plain = [](const at::Tensor& t) {
    return t.defined() && (t.is_conj() || t.is_neg()) ? t.resolve_conj().resolve_neg() : t;
  };
  const at::Tensor a = plain(left), b = plain(right), add = plain(added);
  static const Family matmul("matmul");
  const DType type = dtype_of(a);
  const int64_t batch = out.dim() == 3 ? out.size(0) : 1, m = out.dim() > 1 ? out.size(-2) : 1;
  const int64_t n = out.size(-1), k = a.size(-1);
  if (multiplies_parts(out, m, n, k)) {
    const bool few = m < kFew || n < kFew;
    return (few ? multiply_few_parts : multiply_parts)(out, a, b, add, alpha, beta);
  }
  const bool thin = is_thin(m, n);
  const Tiling t =
      thin ? thin_tiling(m, n) : matmul_tiling(m, n, k, batch, driver::compute_threads());
  Launch l(matmul, type);
  l.out(out, {batch, m, n}).in(thin ? a : rows_apart(a, t), {batch, m, k});
  l.in(b, {batch, k, n}).in(add, {batch, m, n});
  if (is_generic(type)) {
    if (a.is_complex()) {
      const auto x = alpha.toComplexDouble(), y = beta.toComplexDouble();
      l.reals({x.real(), x.imag(), y.real(), y.imag()});
    } else {
      l.ints({alpha.toLong(), beta.toLong()});
    }
    l.run(batch * m, grain_for(n * k));
    return;
  }
  l.reals({alpha.toDouble(), beta.toDouble()});
  l.ints({t.m, t.n});
  l.run(batch * t.items(), grain_for(m * n * std::max<int64_t>(k, 1) / t.items() / 8));
}

TRN_IMPL_FUNC(mm_out)(const at::Tensor& self, const at::Tensor& mat2, const at::Tensor& out) {
  matmul_into(out, self, mat2);
}

TRN_IMPL_FUNC(addmm_out)
(const at::Tensor& self, const at::Tensor& mat1, const at::Tensor& mat2, const at::Scalar& beta,
 const at::Scalar& alpha, const at::Tensor& out) {
  matmul_into(out, mat1, mat2, self, alpha, beta);
}

TRN_IMPL_FUNC(_addmm_activation_out)
(const at::Tensor& self, const at::Tensor& mat1, const at::Tensor& mat2, const at::Scalar& beta,
 const at::Scalar& alpha, bool use_gelu, const at::Tensor& out) {
  matmul_into(out, mat1, mat2, self, alpha, beta);
  at::Tensor result = out;
  if (use_gelu) at::gelu_(result);
  else at::relu_(result);
}

TRN_IMPL_FUNC(bmm_out)(const at::Tensor& self, const at::Tensor& mat2, const at::Tensor& out) {
  matmul_into(out, self, mat2);
}

TRN_IMPL_FUNC(baddbmm_out)
(const at::Tensor& self, const at::Tensor& batch1, const at::Tensor& batch2, const at::Scalar& beta,
 const at::Scalar& alpha, const at::Tensor& out) {
  matmul_into(out, batch1, batch2, self, alpha, beta);
}

TRN_IMPL_FUNC(addmv_out)
(const at::Tensor& self, const at::Tensor& mat, const at::Tensor& vec, const at::Scalar& beta,
 const at::Scalar& alpha, const at::Tensor& out) {
  // As the row out^T = vec^T mat^T, which needs no views but one.
  matmul_into(out, vec, mat.t(), self, alpha, beta);
}

namespace {
at::Tensor dot_of(const at::Tensor& self, const at::Tensor& other) {
  TORCH_CHECK(self.dim() == 1 && other.dim() == 1, "1D tensors expected, but got ", self.dim(),
              "D and ", other.dim(), "D tensors");
  TORCH_CHECK(self.scalar_type() == other.scalar_type(),
              "dot : expected both vectors to have same dtype, but found ", self.scalar_type(),
              " and ", other.scalar_type());
  TORCH_CHECK(self.numel() == other.numel(), "inconsistent tensor size, expected tensor [",
              self.numel(), "] and src [", other.numel(),
              "] to have the same number of elements, but got ", self.numel(), " and ",
              other.numel(), " elements respectively");
  at::Tensor out = at::empty({}, self.options());
  matmul_into(out.view({1, 1}), self.view({1, -1}), other.view({-1, 1}));
  return out;
}
}  // namespace

at::Tensor TRN_OP(dot)(const at::Tensor& self, const at::Tensor& tensor) {
  if (self.is_complex() && self.is_conj() && tensor.is_conj())
    return dot_of(self.conj(), tensor.conj()).conj();
  return dot_of(self.resolve_conj(), tensor.resolve_conj());
}

at::Tensor TRN_OP(vdot)(const at::Tensor& self, const at::Tensor& other) {
  return dot_of(self.conj().resolve_conj(), other.resolve_conj());
}

namespace {
// Products of halves kept in float32: out_dtype is the accumulator's own type.
void prepare(const at::Tensor& out, const at::Tensor& a, at::IntArrayRef sizes,
             at::ScalarType out_dtype) {
  const bool same = a.scalar_type() == out_dtype;
  const bool widened =
      out_dtype == at::kFloat && (a.scalar_type() == at::kHalf || a.scalar_type() == at::kBFloat16);
  TORCH_CHECK(same || widened,
              "out_dtype must be the same as input dtype or fp32 for fp16/bf16 inputs");
  TORCH_CHECK(out.scalar_type() == out_dtype,
              "out_dtype must be the same as the dtype of the provided out tensor");
  at::native::resize_output(out, sizes);
}
void prepare_mm(const at::Tensor& out, const at::Tensor& a, const at::Tensor& b,
                at::ScalarType out_dtype) {
  TORCH_CHECK(a.dim() == 2 && b.dim() == 2 && a.size(1) == b.size(0),
              "mat1 and mat2 shapes cannot be multiplied (", a.sizes(), " and ", b.sizes(), ")");
  prepare(out, a, {a.size(0), b.size(1)}, out_dtype);
}
void prepare_bmm(const at::Tensor& out, const at::Tensor& a, const at::Tensor& b,
                 at::ScalarType out_dtype) {
  TORCH_CHECK(a.dim() == 3 && b.dim() == 3 && a.size(0) == b.size(0) && a.size(2) == b.size(1),
              "Expected size for first two dimensions of batch2 tensor to match batch1");
  prepare(out, a, {a.size(0), a.size(1), b.size(2)}, out_dtype);
}
at::Tensor empty_of(const at::Tensor& a, at::ScalarType out_dtype) {
  return at::empty({0}, a.options().dtype(out_dtype));
}
}  // namespace

at::Tensor& TRN_OP(mm_dtype_out)(const at::Tensor& self, const at::Tensor& mat2,
                                 at::ScalarType out_dtype, at::Tensor& out) {
  prepare_mm(out, self, mat2, out_dtype);
  matmul_into(out, self, mat2);
  return out;
}
at::Tensor TRN_OP(mm_dtype)(const at::Tensor& self, const at::Tensor& mat2,
                            at::ScalarType out_dtype) {
  at::Tensor out = empty_of(self, out_dtype);
  return mm_dtype_out(self, mat2, out_dtype, out);
}

at::Tensor& TRN_OP(addmm_dtype_out)(const at::Tensor& self, const at::Tensor& mat1,
                                    const at::Tensor& mat2, at::ScalarType out_dtype,
                                    const at::Scalar& beta, const at::Scalar& alpha,
                                    at::Tensor& out) {
  prepare_mm(out, mat1, mat2, out_dtype);
  matmul_into(out, mat1, mat2, self.to(out_dtype), alpha, beta);
  return out;
}
at::Tensor TRN_OP(addmm_dtype)(const at::Tensor& self, const at::Tensor& mat1,
                               const at::Tensor& mat2, at::ScalarType out_dtype,
                               const at::Scalar& beta, const at::Scalar& alpha) {
  at::Tensor out = empty_of(mat1, out_dtype);
  return addmm_dtype_out(self, mat1, mat2, out_dtype, beta, alpha, out);
}

at::Tensor& TRN_OP(bmm_dtype_out)(const at::Tensor& self, const at::Tensor& mat2,
                                  at::ScalarType out_dtype, at::Tensor& out) {
  prepare_bmm(out, self, mat2, out_dtype);
  matmul_into(out, self, mat2);
  return out;
}
at::Tensor TRN_OP(bmm_dtype)(const at::Tensor& self, const at::Tensor& mat2,
                             at::ScalarType out_dtype) {
  at::Tensor out = empty_of(self, out_dtype);
  return bmm_dtype_out(self, mat2, out_dtype, out);
}

at::Tensor& TRN_OP(baddbmm_dtype_out)(const at::Tensor& self, const at::Tensor& batch1,
                                      const at::Tensor& batch2, at::ScalarType out_dtype,
                                      const at::Scalar& beta, const at::Scalar& alpha,
                                      at::Tensor& out) {
  prepare_bmm(out, batch1, batch2, out_dtype);
  matmul_into(out, batch1, batch2, self.to(out_dtype), alpha, beta);
  return out;
}
at::Tensor TRN_OP(baddbmm_dtype)(const at::Tensor& self, const at::Tensor& batch1,
                                 const at::Tensor& batch2, at::ScalarType out_dtype,
                                 const at::Scalar& beta, const at::Scalar& alpha) {
  at::Tensor out = empty_of(batch1, out_dtype);
  return baddbmm_dtype_out(self, batch1, batch2, out_dtype, beta, alpha, out);
}

}  // namespace trn::ops
