// The exponential of matrices: scaled down, a Taylor polynomial, squared up again.
#include <ATen/native/LinearAlgebraUtils.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/where.h>

#include <cmath>

#include "ops/op.h"

namespace trn::ops {
namespace {

// sum x^k / k! up to k = 20, good to double's precision for norms up to 1: as a polynomial in x^4,
// whose coefficients are polynomials of third degree (Paterson and Stockmeyer).
at::Tensor taylor(const at::Tensor& x) {
  const at::Tensor squared = at::matmul(x, x), cubed = at::matmul(squared, x),
                   fourth = at::matmul(squared, squared);
  at::Tensor sum = fourth.div(std::tgamma(21.0));
  for (int k = 16; k >= 0; k -= 4) {
    if (k < 16) sum = at::matmul(sum, fourth);
    sum.add_(x, 1 / std::tgamma(k + 2.0))
        .add_(squared, 1 / std::tgamma(k + 3.0))
        .add_(cubed, 1 / std::tgamma(k + 4.0));
    sum.diagonal(0, -2, -1).add_(1 / std::tgamma(k + 1.0));
  }
  return sum;
}

at::Tensor exp_of(const at::Tensor& a) {
  // Each matrix is halved until its norm is at most 1, and its exponential squared as often.
  const at::Tensor norm = a.abs().sum(-2).amax(-1, true).unsqueeze(-1);
  const at::Tensor halvings = norm.log2().ceil().clamp_min(0).nan_to_num(0, 0, 0);
  at::Tensor result = taylor(a.mul(halvings.neg().exp2()));
  const int64_t most = halvings.max().item<int64_t>();
  for (int64_t i = 0; i < most; ++i)
    result = at::where(halvings.gt(i), at::matmul(result, result), result);
  return result;
}

}  // namespace

at::Tensor TRN_OP(linalg_matrix_exp)(const at::Tensor& self) {
  at::native::squareCheckInputs(self, "linalg.matrix_exp");
  at::native::checkFloatingOrComplex(self, "linalg.matrix_exp");
  if (self.numel() == 0) return at::empty_like(self, at::MemoryFormat::Contiguous);
  if (self.size(-1) == 1) return self.exp();
  // In double: every squaring doubles the error so far.
  return exp_of(self.to(self.is_complex() ? at::kComplexDouble : at::kDouble))
      .to(self.scalar_type());
}

}  // namespace trn::ops
