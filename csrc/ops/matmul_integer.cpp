// Products of int8 matrices, and linear layers with weights of 8 or 4 bits.
#include <ATen/ops/empty.h>

#include "ops/matmul.h"

namespace trn::ops {
namespace {

void check_int_mm(const at::Tensor& self, const at::Tensor& mat2, const at::Tensor& out) {
  TORCH_CHECK(self.dim() == 2, "_int_mm: Expected self to be of dimension 2 but got ", self.dim());
  TORCH_CHECK(mat2.dim() == 2, "_int_mm: Expected mat2 to be of dimension 2 but got ", mat2.dim());
  TORCH_CHECK(self.size(1) == mat2.size(0),
              "_int_mm: self.size(1) needs to match mat2.size(0) but got ", self.size(1), " and ",
              mat2.size(0));
  TORCH_CHECK(self.scalar_type() == at::kChar,
              "_int_mm: Expected self dtype to be of type int8 but got ", self.scalar_type());
  TORCH_CHECK(mat2.scalar_type() == at::kChar,
              "_int_mm: Expected mat2 dtype to be of type int8 but got ", mat2.scalar_type());
  TORCH_CHECK(out.scalar_type() == at::kInt,
              "_int_mm: Expected result dtype to be of type kInt but got ", out.scalar_type());
  TORCH_CHECK(out.dim() == 2 && out.size(0) == self.size(0) && out.size(1) == mat2.size(1),
              "_int_mm: Expected result of size ", self.size(0), "x", mat2.size(1), " but got ",
              out.sizes());
}

// The product [m, n] = a [m, k] w^T, k packed in bytes of which each holds `per` weights.
at::Tensor weight_only(const at::Tensor& a, const at::Tensor& w, DType kind, int64_t n,
                       const at::Tensor& scales, int64_t group) {
  static const Family matmul_weight_only("matmul_weight_only");
  const int64_t m = a.size(0), k = a.size(1);
  at::Tensor out = at::empty({m, n}, a.options());
  if (out.numel() == 0) return out;
  const Tiling t = thin_tiling(1, n);
  Launch(matmul_weight_only, kind)
      .out(out, {1, m, n})
      .in(a, {1, m, k})
      .in(w, {1, n, w.size(1)})
      .in(scales.contiguous())
      .ints({0, t.n, group})
      .reals({1, 0})
      .run(t.items(), grain_for(m * t.n * k / 8));
  return out;
}

void check_floating(const at::Tensor& a, const char* name) {
  TORCH_CHECK(a.scalar_type() == at::kBFloat16 || a.scalar_type() == at::kHalf ||
                  a.scalar_type() == at::kFloat,
              name, " : expect A to be either 32-bit or 16-bit float tensor.");
  TORCH_CHECK(a.dim() == 2, name, " : expect A to be 2D tensor.");
}

}  // namespace

at::Tensor& TRN_OP(_int_mm_out)(const at::Tensor& self, const at::Tensor& mat2, at::Tensor& out) {
  check_int_mm(self, mat2, out);
  if (out.numel() == 0) return out;
  static const Family matmul_bytes("matmul_bytes");
  const int64_t m = self.size(0), n = mat2.size(1), k = self.size(1);
  const Tiling t = matmul_tiling(m, n, k, 1, driver::compute_threads());
  Launch(matmul_bytes, DType::i8)
      .out(out, {1, m, n})
      .in(rows_apart(self, t), {1, m, k})
      .in(mat2, {1, k, n})
      .in(at::Tensor())
      .ints({t.m, t.n})
      .reals({1, 0})
      .run(t.items(), grain_for(t.m * t.n * k / 16));
  return out;
}

at::Tensor TRN_OP(_int_mm)(const at::Tensor& self, const at::Tensor& mat2) {
  at::Tensor out = at::empty({self.dim() ? self.size(0) : 0, mat2.dim() ? mat2.size(-1) : 0},
                             self.options().dtype(at::kInt));
  return _int_mm_out(self, mat2, out);
}

at::Tensor TRN_OP(_weight_int8pack_mm)(const at::Tensor& self, const at::Tensor& mat2,
                                       const at::Tensor& scales) {
  check_floating(self, "_weight_int8pack_mm");
  TORCH_CHECK(mat2.scalar_type() == at::kChar, "_weight_int8pack_mm : expect B to be int8 tensor.");
  TORCH_CHECK(mat2.is_contiguous(), "_weight_int8pack_mm : expect B to be contiguous.");
  TORCH_CHECK(mat2.dim() == 2 && mat2.size(1) == self.size(1),
              "_weight_int8pack_mm : expect B.size(1) == ", self.size(1));
  const int64_t n = mat2.size(0);
  TORCH_CHECK(scales.dim() == 1 && scales.size(0) == n,
              "_weight_int8pack_mm : expect scales to be 1d tensor with size ", n);
  return weight_only(self, mat2, DType::i8, n, scales, 1);
}

// The packed form has CUDA's shape, [n / 8, k / (16 tiles), 32, tiles / 2] of int32, and the plain
// order of bytes inside: rows of k / 2, the even k in the high half.
at::Tensor TRN_OP(_convert_weight_to_int4pack)(const at::Tensor& self, int64_t innerKTiles) {
  TORCH_CHECK(self.dim() == 2, "_convert_weight_to_int4pack : expect weight to be 2D tensor.");
  TORCH_CHECK(self.scalar_type() == at::kByte,
              "_convert_weight_to_int4pack : expect weight to be kByte.");
  TORCH_CHECK(innerKTiles == 2 || innerKTiles == 4 || innerKTiles == 8,
              "_convert_weight_to_int4pack : innerKTiles need to be 2, 4, or 8, got ", innerKTiles);
  const int64_t n = self.size(0), k = self.size(1) * 2;
  TORCH_CHECK(n % 8 == 0 && k % (innerKTiles * 16) == 0,
              "_convert_weight_to_int4pack : expect n to be a multiple of 8 and k of ",
              innerKTiles * 16, ", got ", n, " and ", k);
  return self.contiguous().clone().view(at::kInt).view(
      {n / 8, k / (innerKTiles * 16), 32, innerKTiles / 2});
}

at::Tensor TRN_OP(_weight_int4pack_mm)(const at::Tensor& self, const at::Tensor& mat2,
                                       int64_t qGroupSize, const at::Tensor& qScaleAndZeros) {
  check_floating(self, "_weight_int4pack_mm");
  TORCH_CHECK(mat2.scalar_type() == at::kInt && mat2.dim() == 4 && mat2.is_contiguous(),
              "_weight_int4pack_mm : expect B to be a packed int32 tensor of 4 dimensions.");
  TORCH_CHECK(qGroupSize == 32 || qGroupSize == 64 || qGroupSize == 128 || qGroupSize == 256,
              "_weight_int4pack_mm : expect qGroupSize to be 32, 64, 128 or 256, got ", qGroupSize);
  const int64_t n = mat2.size(0) * 8, k = mat2.size(1) * 16 * mat2.size(3) * 2;
  TORCH_CHECK(k == self.size(1), "_weight_int4pack_mm : expect A.size(1) == ", k, ", got ",
              self.size(1));
  TORCH_CHECK(k % qGroupSize == 0, "_weight_int4pack_mm : expect A.size(1) to be a multiple of ",
              qGroupSize, ", got ", k);
  TORCH_CHECK(qScaleAndZeros.dim() == 3 && qScaleAndZeros.size(0) == k / qGroupSize &&
                  qScaleAndZeros.size(1) == n && qScaleAndZeros.size(2) == 2,
              "_weight_int4pack_mm: expect qScaleAndZeros to be 3d tensor with sizes [",
              k / qGroupSize, ", ", n, ", 2]");
  return weight_only(self, mat2.view(at::kByte).view({n, k / 2}), DType::u8, n, qScaleAndZeros,
                     qGroupSize);
}

}  // namespace trn::ops
