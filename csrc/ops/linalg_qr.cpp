// Q R factors by blocks of Householder's reflections: products with Q, Q itself, least squares.
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/eye.h>

#include "linalg_blocks.h"
#include "ops/linalg.h"
#include "ops/matmul.h"

namespace trn::ops {
namespace {

const Family qr_panel("qr_panel"), qr_block("qr_block");

// Reflections first .. first + w together: 1 - V T V^H, acting on rows from `first`.
struct Block {
  at::Tensor v, t;
};

Block block_of(const at::Tensor& reflections, const at::Tensor& tau, int64_t first, int64_t w) {
  const int64_t m = reflections.size(1) - first;
  at::Tensor v = reflections.narrow(1, first, m).narrow(2, first, w).tril(-1);
  v.diagonal(0, 1, 2).fill_(1);
  const at::Tensor products = at::empty({v.size(0), w, w}, v.options()),
                   t = at::empty_like(products);
  matmul_into(products, v.mH(), v);
  Launch(qr_block, dtype_of(t))
      .out(t)
      .in(products)
      .in(tau.narrow(1, first, w))
      .run(t.size(0), grain_for(w * w * w / 6));
  return {v, t};
}

// c = (1 - V T V^H) c or, adjoint, (1 - V T^H V^H) c.
void apply(const Block& block, const at::Tensor& c, bool adjoint) {
  if (c.numel() == 0) return;
  const at::Tensor product = at::empty({c.size(0), block.v.size(2), c.size(2)}, c.options()),
                   turned = at::empty_like(product);
  matmul_into(product, block.v.mH(), c);
  matmul_into(turned, adjoint ? block.t.mH() : block.t, product);
  matmul_into(c, block.v, turned, c, -1, 1);
}

void geqrf_kernel(const at::Tensor& input, const at::Tensor& tau) {
  if (tau.numel() == 0) return;
  const at::Tensor a = matrices(input), work = by_column(a);
  factor_qr(work, vectors(tau));
  if (!work.is_same(a)) at::Tensor{a}.copy_(work);
}

at::Tensor& orgqr_kernel(at::Tensor& result, const at::Tensor& tau) {
  if (result.numel() == 0) return result;
  const at::Tensor out = matrices(result), reflections = out.clone();
  at::Tensor{out}.copy_(at::eye(out.size(1), out.size(2), out.options()).expand(out.sizes()));
  if (tau.numel()) apply_q(reflections, vectors(tau), out, false);
  return result;
}

void ormqr_kernel(const at::Tensor& input, const at::Tensor& tau, const at::Tensor& other,
                  bool left, bool transpose) {
  if (other.numel() == 0 || tau.numel() == 0) return;
  const at::Tensor reflections = matrices(input), factors = vectors(tau), c = matrices(other);
  if (left) return apply_q(reflections, factors, c, transpose);
  // C Q is the adjoint of Q^H C^H.
  at::Tensor turned = c.mH().clone(at::MemoryFormat::Contiguous).resolve_conj();
  apply_q(reflections, factors, turned, !transpose);
  at::Tensor{c}.copy_(turned.mH());
}

}  // namespace

void factor_qr(const at::Tensor& a, const at::Tensor& tau) {
  const int64_t m = a.size(1), n = a.size(2), k = tau.size(1);
  for (int64_t first = 0; first < k; first += kQrColumns) {
    const int64_t w = std::min(kQrColumns, k - first), end = first + w;
    const at::Tensor panel = a.narrow(1, first, m - first).narrow(2, first, w);
    Launch(qr_panel, dtype_of(a))
        .out(panel)
        .out(tau.narrow(1, first, w))
        .run(a.size(0), grain_for((m - first) * w * w / 2));
    if (end < n)
      apply(block_of(a, tau, first, w), a.narrow(1, first, m - first).narrow(2, end, n - end),
            true);
  }
}

void apply_q(const at::Tensor& reflections, const at::Tensor& tau, const at::Tensor& c,
             bool adjoint) {
  const int64_t k = tau.size(1), blocks = (k + kQrColumns - 1) / kQrColumns;
  for (int64_t i = 0; i < blocks; ++i) {
    const int64_t first = (adjoint ? i : blocks - 1 - i) * kQrColumns;
    apply(block_of(reflections, tau, first, std::min(kQrColumns, k - first)),
          c.narrow(1, first, c.size(1) - first), adjoint);
  }
}

}  // namespace trn::ops

namespace at::native {
REGISTER_PRIVATEUSE1_DISPATCH(geqrf_stub, &trn::ops::geqrf_kernel)
REGISTER_PRIVATEUSE1_DISPATCH(orgqr_stub, &trn::ops::orgqr_kernel)
REGISTER_PRIVATEUSE1_DISPATCH(ormqr_stub, &trn::ops::ormqr_kernel)
}  // namespace at::native
