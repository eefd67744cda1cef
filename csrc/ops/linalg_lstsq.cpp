// Least squares of matrices of full rank, by Q R factors: what the driver "gels" means.
#include <ATen/ExpandUtils.h>
#include <ATen/native/LinearAlgebraUtils.h>
#include <ATen/native/Resize.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/geqrf.h>
#include <ATen/ops/linalg_lstsq_ops.h>
#include <ATen/ops/linalg_solve_triangular.h>
#include <ATen/ops/ormqr.h>

#include "ops/op.h"

namespace trn::ops {
namespace {

using Driver = std::optional<c10::string_view>;

void check(const at::Tensor& a, const at::Tensor& b, const Driver& driver) {
  TORCH_CHECK(a.dim() >= 2, "torch.linalg.lstsq: input must have at least 2 dimensions.");
  TORCH_CHECK(b.dim() >= 1, "torch.linalg.lstsq: other must have at least 1 dimension.");
  TORCH_CHECK(
      a.scalar_type() == b.scalar_type(),
      "torch.linalg.lstsq: Expected input and other to have the same dtype, but got input's "
      "dtype ",
      a.scalar_type(), " and other's dtype ", b.scalar_type());
  const int64_t fewer = a.dim() - b.dim();
  TORCH_CHECK(0 <= fewer && fewer <= 1,
              "torch.linalg.lstsq: input.dim() must be greater or equal to other.dim() and "
              "(input.dim() - other.dim()) <= 1");
  for (const char* known : {"gels", "gelsy", "gelsd", "gelss"})
    if (!driver || *driver == known) return;
  TORCH_CHECK(
      false, "torch.linalg.lstsq: parameter `driver` should be one of (gels, gelsy, gelsd, gelss)");
}

struct Solution {
  at::Tensor x, residuals;  // residuals: undefined unless there are more equations than unknowns
};

// a [..., m, n], m >= n: R x = the upper part of Q^H b, whose lower part is what stays unsolved.
Solution tall(const at::Tensor& a, const at::Tensor& b) {
  const int64_t m = a.size(-2), n = a.size(-1);
  const auto [factors, tau] = at::geqrf(a);
  const at::Tensor turned = at::ormqr(factors, tau, b, /*left=*/true, /*transpose=*/true);
  Solution s;
  s.x = at::linalg_solve_triangular(factors.narrow(-2, 0, n).triu(), turned.narrow(-2, 0, n),
                                    /*upper=*/true);
  if (m > n) s.residuals = turned.narrow(-2, n, m - n).abs().square().sum(-2);
  return s;
}

// a [..., m, n], m < n: of all solutions the shortest, Q R^-H b for a^H = Q R.
Solution wide(const at::Tensor& a, const at::Tensor& b) {
  const int64_t m = a.size(-2), n = a.size(-1);
  const auto [factors, tau] = at::geqrf(a.mH());
  const at::Tensor part = at::linalg_solve_triangular(factors.narrow(-2, 0, m).triu().mH(), b,
                                                      /*upper=*/false);
  const at::Tensor padded = at::constant_pad_nd(part, {0, 0, 0, n - m});
  return {at::ormqr(factors, tau, padded, /*left=*/true, /*transpose=*/false), {}};
}

void put(const at::Tensor& out, const at::Tensor& value) {
  at::native::resize_output(out, value.sizes());
  out.copy_(value);
}

}  // namespace

std::tuple<at::Tensor&, at::Tensor&, at::Tensor&, at::Tensor&> TRN_OP(linalg_lstsq_out)(
    const at::Tensor& self, const at::Tensor& b, std::optional<double> rcond, Driver driver,
    at::Tensor& solution, at::Tensor& residuals, at::Tensor& rank, at::Tensor& singular_values) {
  check(self, b, driver);
  if (driver && *driver != "gels")
    return fallback<at::_ops::linalg_lstsq_out>("a driver other than gels", self, b, rcond, driver,
                                                solution, residuals, rank, singular_values);
  const bool vector = at::native::linalg_solve_is_vector_rhs(self, b);
  const at::Tensor columns = vector ? b.unsqueeze(-1) : b;
  TORCH_CHECK(self.size(-2) == columns.size(-2),
              "torch.linalg.lstsq: input.size(-2) should match other.size(", vector ? "-1" : "-2",
              ")");
  const auto batch = at::infer_size(self.sizes().slice(0, self.dim() - 2),
                                    columns.sizes().slice(0, columns.dim() - 2));
  const auto expand = [&](const at::Tensor& t) {
    std::vector<int64_t> sizes = batch;
    sizes.insert(sizes.end(), {t.size(-2), t.size(-1)});
    return t.expand(sizes);
  };
  const Solution s = self.size(-2) >= self.size(-1) ? tall(expand(self), expand(columns))
                                                    : wide(expand(self), expand(columns));
  put(solution, vector ? s.x.squeeze(-1) : s.x);
  if (s.residuals.defined()) put(residuals, s.residuals);
  else at::native::resize_output(residuals, {0});
  at::native::resize_output(rank, {0});
  at::native::resize_output(singular_values, {0});
  return {solution, residuals, rank, singular_values};
}

}  // namespace trn::ops
