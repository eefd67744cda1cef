// softmax and log-softmax.
#include <ATen/WrapDimUtils.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/where.h>

#include "ops/elementwise.h"
#include "ops/op.h"
#include "softmax.structured.h"

namespace trn::ops {
namespace {

const Family softmax("softmax");
const Family softmax_backward("softmax_backward");

// A tensor as [outer, length, inner] around dimension `dim`, without a copy where its strides
// allow (`reshape` copies otherwise).
at::Tensor around(const at::Tensor& t, int64_t dim) {
  if (t.dim() == 0) return t.reshape({1, 1, 1});
  int64_t outer = 1, inner = 1;
  for (int64_t d = 0; d < dim; ++d) outer *= t.size(d);
  for (int64_t d = dim + 1; d < t.dim(); ++d) inner *= t.size(d);
  return t.reshape({outer, t.size(dim), inner});
}

// `out` is dense, as at::meta and empty_like make it, unless the caller gave it with strides.
template <class F>
void with_dense_output(const at::Tensor& out, F f) {
  if (out.is_contiguous()) return f(out);
  const at::Tensor dense = at::empty_like(out, at::MemoryFormat::Contiguous);
  f(dense);
  out.copy_(dense);
}

void forward(const at::Tensor& self, int64_t dim, bool log, const at::Tensor& out) {
  if (self.numel() == 0) return;
  dim = at::maybe_wrap_dim(dim, self.dim());
  with_dense_output(out, [&](const at::Tensor& dense) {
    const at::Tensor src = around(self, dim), dst = around(dense, dim);
    const int64_t rows = src.size(0) * src.size(2);
    Launch(softmax, compute_type(self.scalar_type()))
        .out(dst)
        .in(src)
        .ints({log})
        .run(rows, grain_for(src.size(1) * 4));
  });
}

void backward(const at::Tensor& grad, const at::Tensor& output, int64_t dim, bool log,
              const at::Tensor& grad_input) {
  if (grad.numel() == 0) return;
  dim = at::maybe_wrap_dim(dim, grad.dim());
  with_dense_output(grad_input, [&](const at::Tensor& dense) {
    const at::Tensor g = around(grad, dim), y = around(output, dim), dst = around(dense, dim);
    const int64_t rows = g.size(0) * g.size(2);
    Launch(softmax_backward, compute_type(grad.scalar_type()))
        .out(dst)
        .in(g)
        .in(y)
        .ints({log})
        .run(rows, grain_for(g.size(1) * 4));
  });
}

}  // namespace

TRN_IMPL_FUNC(_softmax_out)(const at::Tensor& self, int64_t dim, bool, const at::Tensor& out) {
  forward(self, dim, false, out);
}
TRN_IMPL_FUNC(_log_softmax_out)(const at::Tensor& self, int64_t dim, bool, const at::Tensor& out) {
  forward(self, dim, true, out);
}
TRN_IMPL_FUNC(_softmax_backward_data_out)
(const at::Tensor& grad, const at::Tensor& output, int64_t dim, at::ScalarType,
 const at::Tensor& grad_input) {
  backward(grad, output, dim, false, grad_input);
}
TRN_IMPL_FUNC(_log_softmax_backward_data_out)
(const at::Tensor& grad, const at::Tensor& output, int64_t dim, at::ScalarType,
 const at::Tensor& out) {
  backward(grad, output, dim, true, out);
}

}  // namespace trn::ops
