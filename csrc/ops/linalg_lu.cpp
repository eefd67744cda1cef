// L U factors with row exchanges, systems solved with them, and permutations of pivots.
#include <ATen/TensorIterator.h>
#include <ATen/ops/empty.h>

#include "linalg_blocks.h"
#include "ops/linalg.h"
#include "ops/matmul.h"

namespace trn::ops {
namespace {

const Family lu_panel("lu_panel"), lu_exchange("lu_exchange"), lu_permutation("lu_permutation");

void exchange_rows(const at::Tensor& a, const at::Tensor& pivots, int64_t row, bool back) {
  const int64_t n = a.size(2);
  Launch(lu_exchange, dtype_of(a))
      .out(a)
      .in(pivots)
      .ints({row, back})
      .may_fault()
      .run(a.size(0) * n, grain_for(pivots.size(1) * 8));
}

// Factors [batch, m, n]; `pivots` is undefined where rows stay. Halves of the columns, one after
// the other: the second is updated by a triangular system and a product.
void factor_lu(const at::Tensor& a, const at::Tensor& pivots, const at::Tensor& info, int64_t row) {
  const int64_t m = a.size(1), n = a.size(2), k = std::min(m, n);
  if (k == 0) return;
  const auto some = [&](int64_t begin, int64_t size) {
    return pivots.defined() ? pivots.narrow(1, begin, size) : at::Tensor();
  };
  if (n <= kLuColumns) {
    Launch(lu_panel, dtype_of(a))
        .out(a)
        .out(pivots)
        .out(info)
        .ints({row, pivots.defined()})
        .run(a.size(0), grain_for(m * n * k / 4));
    return;
  }
  // A wide matrix is cut after its square.
  const int64_t parts = (k + kLuColumns - 1) / kLuColumns;
  const int64_t h = k < n && k <= kLuColumns ? k : std::min(k, (parts + 1) / 2 * kLuColumns);
  const at::Tensor left = a.narrow(2, 0, h), right = a.narrow(2, h, n - h);
  factor_lu(left, some(0, h), info, row);
  if (pivots.defined()) exchange_rows(right, some(0, h), row, false);
  const at::Tensor top = right.narrow(1, 0, h);
  solve_triangle(left.narrow(1, 0, h), top, false, true);
  if (h == m) return;
  const at::Tensor rest = right.narrow(1, h, m - h), below = left.narrow(1, h, m - h);
  matmul_into(rest, below, top, rest, -1, 1);
  factor_lu(rest, some(h, k - h), info, row + h);
  if (pivots.defined() && k > h) exchange_rows(below, some(h, k - h), row + h, false);
}

void lu_factor_kernel(const at::Tensor& input, const at::Tensor& pivots, const at::Tensor& info,
                      bool compute_pivots) {
  at::Tensor{info}.zero_();
  if (input.numel() == 0) return;
  const at::Tensor a = matrices(input), work = by_column(a);
  factor_lu(work, compute_pivots ? vectors(pivots) : at::Tensor(), numbers(info), 0);
  if (!work.is_same(a)) at::Tensor{a}.copy_(work);
}

// One L U may serve several right sides: it is repeated for them.
at::Tensor for_each(const at::Tensor& t, const at::Tensor& b, int64_t own) {
  std::vector<int64_t> sizes(b.sizes().begin(), b.sizes().end() - 2);
  sizes.insert(sizes.end(), t.sizes().end() - own, t.sizes().end());
  return t.sizes() == sizes ? t : t.expand(sizes).contiguous();
}

void lu_solve_kernel(const at::Tensor& lu, const at::Tensor& pivots, const at::Tensor& b,
                     at::native::TransposeType how) {
  if (b.numel() == 0) return;
  const at::Tensor x = matrices(b), a = matrices(for_each(lu, b, 2)),
                   order = vectors(for_each(pivots, b, 1));
  if (how == at::native::TransposeType::NoTranspose) {
    exchange_rows(x, order, 0, false);
    solve_triangle(a, x, false, true);
    solve_triangle(a, x, true, false);
  } else {
    const at::Tensor t = transposed(a, how);
    solve_triangle(t, x, false, false);
    solve_triangle(t, x, true, true);
    exchange_rows(x, order, 0, true);
  }
}

void unpack_pivots_kernel(at::TensorIterator& iter, const int64_t, const int64_t) {
  const at::Tensor order = vectors(iter.tensor(0)), pivots = vectors(iter.tensor(1));
  if (order.numel() == 0 || pivots.numel() == 0) return;
  Launch(lu_permutation, dtype_of(order))
      .out(order)
      .in(pivots)
      .may_fault()
      .run(order.size(0), grain_for(pivots.size(1) * 8));
}

}  // namespace

at::Tensor by_column(const at::Tensor& a) {
  return a.stride(1) == 1 || a.size(1) == 1 ? a : a.mT().clone(at::MemoryFormat::Contiguous).mT();
}

}  // namespace trn::ops

namespace at::native {
REGISTER_PRIVATEUSE1_DISPATCH(lu_factor_stub, &trn::ops::lu_factor_kernel)
REGISTER_PRIVATEUSE1_DISPATCH(lu_solve_stub, &trn::ops::lu_solve_kernel)
REGISTER_PRIVATEUSE1_DISPATCH(unpack_pivots_stub, &trn::ops::unpack_pivots_kernel)
}  // namespace at::native
