// Distances between rows: cdist, pdist and their gradients.
#include <ATen/ExpandUtils.h>
#include <ATen/ops/_euclidean_dist.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/util/accumulate.h>

#include "ops/elementwise.h"
#include "ops/op.h"

namespace trn::ops {
namespace {

const Family cdist("cdist"), cdist_backward("cdist_backward"), pdist("pdist"),
    pdist_backward("pdist_backward");

int64_t cost_of(double p) { return p == 0 || p == 1 || p == 2 || std::isinf(p) ? 2 : 40; }

// Both tables with their batch dimensions broadcast and in one.
struct Tables {
  std::vector<int64_t> batch;
  int64_t count;
  at::Tensor a, b;

  Tables(const at::Tensor& x1, const at::Tensor& x2)
      : batch(at::infer_size(x1.sizes().slice(0, x1.dim() - 2), x2.sizes().slice(0, x2.dim() - 2))),
        count(c10::multiply_integers(batch)),
        a(flat(x1)),
        b(flat(x2)) {}

 private:
  at::Tensor flat(const at::Tensor& x) const {
    std::vector<int64_t> sizes = batch;
    sizes.insert(sizes.end(), {x.size(-2), x.size(-1)});
    return x.expand(sizes).contiguous().view({count, x.size(-2), x.size(-1)});
  }
};

}  // namespace

at::Tensor TRN_OP(_cdist_forward)(const at::Tensor& x1, const at::Tensor& x2, double p,
                                  std::optional<int64_t> compute_mode) {
  TORCH_CHECK(x1.dim() >= 2, "cdist only supports at least 2D tensors, X1 got: ", x1.dim(), "D");
  TORCH_CHECK(x2.dim() >= 2, "cdist only supports at least 2D tensors, X2 got: ", x2.dim(), "D");
  TORCH_CHECK(x1.size(-1) == x2.size(-1),
              "X1 and X2 must have the same number of columns. X1: ", x1.size(-1),
              " X2: ", x2.size(-1));
  TORCH_CHECK(at::isFloatingType(x1.scalar_type()),
              "cdist only supports floating-point dtypes, X1 got: ", x1.scalar_type());
  TORCH_CHECK(at::isFloatingType(x2.scalar_type()),
              "cdist only supports floating-point dtypes, X2 got: ", x2.scalar_type());
  TORCH_CHECK(p >= 0, "cdist only supports non-negative p values");
  const int64_t mode = compute_mode.value_or(0);
  TORCH_CHECK(mode >= 0 && mode <= 2, "possible modes: 0, 1, 2, but was: ", mode);
  TORCH_CHECK(x1.scalar_type() == x2.scalar_type(), "expected scalar type ", x1.scalar_type(),
              " but found ", x2.scalar_type());
  const Tables t(x1, x2);
  const int64_t m = x1.size(-2), n = x2.size(-2), width = x1.size(-1);
  std::vector<int64_t> sizes = t.batch;
  sizes.insert(sizes.end(), {m, n});
  const auto options = x1.options().memory_format(std::nullopt);
  if (width == 0) return at::zeros(sizes, options);
  // By a matrix product where PyTorch takes one.
  if (p == 2 && (mode == 1 || (mode == 0 && (m > 25 || n > 25))) && t.count * m * n != 0)
    return at::_euclidean_dist(t.a, t.b).view(sizes);
  const at::Tensor out = at::empty(sizes, options);
  Launch(cdist, dtype_of(x1))
      .out(out.view({t.count, m, n}))
      .in(t.a)
      .in(t.b)
      .reals({p})
      .run(t.count * m, grain_for(n * width * cost_of(p)));
  return out;
}

at::Tensor TRN_OP(_cdist_backward)(const at::Tensor& grad, const at::Tensor& x1,
                                   const at::Tensor& x2, double p, const at::Tensor& cdist) {
  const Tables t(x1, x2);
  const int64_t m = x1.size(-2), n = x2.size(-2), width = x1.size(-1);
  if (m == 0 || n == 0 || width == 0 || t.count == 0) return at::zeros_like(x1);
  TORCH_CHECK(cdist.is_contiguous(), "_cdist_backward requires dist to be contiguous");
  TORCH_CHECK(grad.is_contiguous(), "_cdist_backward requires grad to be contiguous");
  const at::Tensor out = at::empty({t.count, m, width}, x1.options().memory_format(std::nullopt));
  Launch(cdist_backward, dtype_of(x1))
      .out(out)
      .in(grad.view({t.count, m, n}))
      .in(t.a)
      .in(t.b)
      .in(cdist.view({t.count, m, n}))
      .reals({p})
      .run(t.count * m, grain_for(n * width * cost_of(p) * 2));
  std::vector<int64_t> sizes = t.batch;
  sizes.insert(sizes.end(), {m, width});
  return out.view(sizes);
}

at::Tensor TRN_OP(_pdist_forward)(const at::Tensor& self, double p) {
  TORCH_CHECK(self.is_contiguous(), "_pdist_forward requires contiguous input");
  const int64_t n = self.size(0), width = self.size(1);
  const at::Tensor out = at::zeros({n > 1 ? n * (n - 1) / 2 : 0}, self.options());
  if (width && n > 1)
    Launch(pdist, dtype_of(self))
        .out(out)
        .in(self)
        .reals({p})
        .run(n, grain_for(n * width * cost_of(p) / 2));
  return out;
}

at::Tensor TRN_OP(_pdist_backward)(const at::Tensor& grad, const at::Tensor& self, double p,
                                   const at::Tensor& pdist) {
  TORCH_CHECK(self.is_contiguous(), "_pdist_backward requires self to be contiguous");
  TORCH_CHECK(pdist.is_contiguous(), "_pdist_backward requires pdist to be contiguous");
  const int64_t n = self.size(0), width = self.size(1);
  const at::Tensor out = at::zeros_like(self);
  if (width && n > 1)
    Launch(ops::pdist_backward, dtype_of(self))
        .out(out)
        .in(grad)
        .in(self)
        .in(pdist)
        .reals({p})
        .run(n, grain_for(n * width * cost_of(p) * 2));
  return out;
}

}  // namespace trn::ops
