// Triangular systems, Cholesky factors and what is solved with them.
//
// A matrix is halved until its triangles fit a launch; all else is products.
#include <ATen/ops/eye.h>

#include "linalg_blocks.h"
#include "ops/linalg.h"
#include "ops/matmul.h"

namespace trn::ops {
namespace {

const Family triangular_solve("triangular_solve"), cholesky("cholesky");

at::Tensor block(const at::Tensor& t, int64_t row, int64_t rows, int64_t column, int64_t columns) {
  return t.narrow(1, row, rows).narrow(2, column, columns);
}

// Where a matrix of order n > kTriangle is cut: the largest halves of whole triangles.
int64_t half_of(int64_t n) { return (n / 2 + kTriangle - 1) / kTriangle * kTriangle; }

// a = L with L L^H = a, of which only the lower triangle counts.
void factor_cholesky(const at::Tensor& a, const at::Tensor& info, int64_t row) {
  const int64_t n = a.size(1);
  if (n <= kTriangle) {
    Launch(cholesky, dtype_of(a))
        .out(a)
        .out(info)
        .ints({row})
        .run(a.size(0), grain_for(n * n * n / 4));
    return;
  }
  const int64_t h = half_of(n);
  const at::Tensor top = block(a, 0, h, 0, h), left = block(a, h, n - h, 0, h),
                   rest = block(a, h, n - h, h, n - h);
  factor_cholesky(top, info, row);
  // left = left L^-H, which is conj(L)^-1 left^T transposed.
  solve_triangle(top.conj(), left.mT(), false, false);
  matmul_into(rest, left, left.mH(), rest, -1, 1);
  factor_cholesky(rest, info, row + h);
}

void cholesky_kernel(const at::Tensor& input, const at::Tensor& info, bool upper) {
  if (input.numel() == 0) return;
  at::Tensor{info}.zero_();
  // The transposed memory of an upper factor is the lower factor of the conjugate matrix.
  factor_cholesky(matrices(upper ? input.mT() : input), numbers(info), 0);
}

// x = A^-1 x for a Cholesky factor of A.
void solve_cholesky(const at::Tensor& factor, const at::Tensor& x, bool upper) {
  solve_triangle(upper ? factor.mH() : factor, x, false, false);
  solve_triangle(upper ? factor : factor.mH(), x, true, false);
}

at::Tensor& cholesky_inverse_kernel(at::Tensor& result, at::Tensor& info, bool upper) {
  info.zero_();
  if (result.numel() == 0) return result;
  const at::Tensor factor = matrices(result.clone()), out = matrices(result);
  at::Tensor{out}.copy_(at::eye(out.size(1), out.options()).expand(out.sizes()));
  solve_cholesky(factor, out, upper);
  return result;
}

void triangular_solve_kernel(const at::Tensor& a, const at::Tensor& b, bool left, bool upper,
                             at::native::TransposeType how, bool unit) {
  if (b.numel() == 0) return;
  const bool turned = how != at::native::TransposeType::NoTranspose;
  // As BLAS has it, all of this is said of the memory read column by column.
  const at::Tensor plain = a.is_conj() ? a.conj() : a;
  const at::Tensor memory = plain.mT().is_contiguous() ? plain : plain.mT();
  const at::Tensor t = transposed(matrices(memory), how), x = matrices(b);
  // X T = B is T^T X^T = B^T.
  solve_triangle(left ? t : t.mT(), left ? x : x.mT(), (upper != turned) == left, unit);
}

}  // namespace

at::Tensor matrices(const at::Tensor& t) {
  if (t.dim() == 3) return t;
  int64_t batch = 1;
  for (int64_t d = 0; d < t.dim() - 2; ++d) batch *= t.size(d);
  return t.dim() == 2 ? t.unsqueeze(0) : t.view({batch, t.size(-2), t.size(-1)});
}
at::Tensor vectors(const at::Tensor& t) { return matrices(t.unsqueeze(-1)).squeeze(-1); }
at::Tensor numbers(const at::Tensor& t) { return t.view({-1}); }

at::Tensor transposed(const at::Tensor& t, at::native::TransposeType how) {
  using at::native::TransposeType;
  return how == TransposeType::NoTranspose ? t : how == TransposeType::Transpose ? t.mT() : t.mH();
}

void solve_triangle(const at::Tensor& t, const at::Tensor& x, bool upper, bool unit) {
  const int64_t n = t.size(1), columns = x.size(2);
  if (x.numel() == 0) return;
  if (n <= kTriangle) {
    const int64_t panels = (columns + kPanel - 1) / kPanel;
    Launch(triangular_solve, dtype_of(x))
        .out(x)
        .in(t)
        .ints({upper, unit, t.is_conj()})
        .run(x.size(0) * panels, grain_for(n * n * std::min(columns, kPanel) / 4));
    return;
  }
  const int64_t h = half_of(n), first = upper ? h : 0, rest = upper ? 0 : h;
  const int64_t size = upper ? n - h : h;
  const at::Tensor known = x.narrow(1, first, size), next = x.narrow(1, rest, n - size);
  solve_triangle(block(t, first, size, first, size), known, upper, unit);
  matmul_into(next, block(t, rest, n - size, first, size), known, next, -1, 1);
  solve_triangle(block(t, rest, n - size, rest, n - size), next, upper, unit);
}

at::Tensor TRN_OP(_cholesky_solve_helper)(const at::Tensor& self, const at::Tensor& A, bool upper) {
  const at::Tensor x = self.clone(at::MemoryFormat::Contiguous);
  if (x.numel()) solve_cholesky(matrices(A.contiguous()), matrices(x), upper);
  return x;
}

}  // namespace trn::ops

namespace at::native {
REGISTER_PRIVATEUSE1_DISPATCH(cholesky_stub, &trn::ops::cholesky_kernel)
REGISTER_PRIVATEUSE1_DISPATCH(cholesky_inverse_stub, &trn::ops::cholesky_inverse_kernel)
REGISTER_PRIVATEUSE1_DISPATCH(triangular_solve_stub, &trn::ops::triangular_solve_kernel)
}  // namespace at::native
