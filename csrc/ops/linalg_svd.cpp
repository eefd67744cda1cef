// Eigenvalues of symmetric matrices and singular values, with their vectors.
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>

#include "ops/linalg.h"
#include "ops/matmul.h"

namespace trn::ops {
namespace {

const Family eigh("eigh"), svd("svd");

void eigh_kernel(const at::Tensor& eigenvalues, const at::Tensor& eigenvectors,
                 const at::Tensor& info, bool upper, bool compute_eigenvectors) {
  if (eigenvectors.numel() == 0) return;
  const at::Tensor a = matrices(eigenvectors), work = by_column(a);
  const int64_t n = a.size(1);
  Launch(eigh, dtype_of(a))
      .out(vectors(eigenvalues))
      .out(work)
      .out(at::empty({a.size(0), 4 * n}, a.options()))
      .out(numbers(info))
      .ints({upper, compute_eigenvectors})
      .run(a.size(0), grain_for(10 * n * n * n));
  if (!work.is_same(a)) at::Tensor{a}.copy_(work);
}

// Square matrices X = U S V^H, X with rows side by side: X becomes U. v may be undefined.
void decompose(const at::Tensor& values, const at::Tensor& x, const at::Tensor& v,
               const at::Tensor& info) {
  const int64_t n = x.size(1);
  Launch(svd, dtype_of(x))
      .out(values)
      .out(x)
      .out(v)
      .out(info)
      .run(x.size(0), grain_for(30 * n * n * n));
}

at::Tensor columns_like(const at::Tensor& a, int64_t rows, int64_t columns) {
  return at::empty({a.size(0), columns, rows}, a.options()).mT();
}

// A [batch, m, n] with m >= n. A = Q R, and R^H = X S Y^H by rotations, so A = (Q Y) S X^H: the
// triangle's adjoint converges in fewer rounds than A would. u is [batch, m, m or n], v [batch, n,
// n]; both may be undefined.
void tall_svd(const at::Tensor& a, const at::Tensor& u, const at::Tensor& s, const at::Tensor& v,
              const at::Tensor& info) {
  const int64_t m = a.size(1), n = a.size(2);
  const at::Tensor work = columns_like(a, m, n), tau = at::empty({a.size(0), n}, a.options());
  at::Tensor{work}.copy_(a);
  factor_qr(work, tau);
  const at::Tensor x = columns_like(a, n, n);
  at::Tensor{x}.copy_(work.narrow(1, 0, n).triu().mH());
  const at::Tensor y = u.defined() ? columns_like(a, n, n) : at::Tensor();
  decompose(s, x, y, info);
  if (!u.defined()) return;
  at::Tensor{v}.copy_(x);
  at::Tensor target = u;
  target.zero_();
  target.narrow(1, 0, n).narrow(2, 0, n).copy_(y);
  if (u.size(2) > n) target.narrow(1, n, m - n).narrow(2, n, m - n).diagonal(0, 1, 2).fill_(1);
  apply_q(work, tau, u, false);
}

void svd_kernel(const at::Tensor& A, const bool, const bool compute_uv,
                const std::optional<std::string_view>&, const at::Tensor& U, const at::Tensor& S,
                const at::Tensor& Vh, const at::Tensor& info) {
  if (A.numel() == 0) return;
  const auto some = [&](const at::Tensor& t) { return compute_uv ? matrices(t) : at::Tensor(); };
  const at::Tensor a = matrices(A.is_contiguous() ? A : A.contiguous()), s = vectors(S);
  if (a.size(1) >= a.size(2)) {
    const at::Tensor v = compute_uv ? columns_like(a, a.size(2), a.size(2)) : at::Tensor();
    tall_svd(a, some(U), s, v, numbers(info));
    if (compute_uv) matrices(Vh).copy_(v.mH());
  } else {  // A^H = V S U^H
    const at::Tensor u = compute_uv ? columns_like(a, a.size(1), a.size(1)) : at::Tensor();
    const at::Tensor v = compute_uv ? columns_like(a, a.size(2), Vh.size(-2)) : at::Tensor();
    tall_svd(a.mH(), v, s, u, numbers(info));
    if (compute_uv) {
      matrices(U).copy_(u);
      matrices(Vh).copy_(v.mH());
    }
  }
}

}  // namespace
}  // namespace trn::ops

namespace at::native {
REGISTER_PRIVATEUSE1_DISPATCH(linalg_eigh_stub, &trn::ops::eigh_kernel)
REGISTER_PRIVATEUSE1_DISPATCH(svd_stub, &trn::ops::svd_kernel)
}  // namespace at::native
