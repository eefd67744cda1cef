// Softmax of sparse tensors: over the elements that are there, the others being minus infinity.
#include <ATen/TensorOperators.h>
#include <ATen/ops/_log_softmax.h>
#include <ATen/ops/_log_softmax_backward_data.h>
#include <ATen/ops/_softmax.h>
#include <ATen/ops/_softmax_backward_data.h>
#include <ATen/ops/_sparse_coo_tensor_unsafe.h>
#include <ATen/ops/_unique2.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <c10/core/WrapDimMinimal.h>
#include <torch/library.h>

#include "ops/op.h"
#include "ops/sparse.h"

namespace trn::ops {
namespace {

// The elements of a softmax, one row of values each, that share all sparse indices but one.
struct Rows {
  at::Tensor group;  // of each element
  int64_t groups;
  Rows(const at::Tensor& sparse, int64_t dim) {
    const at::Tensor indices = sparse._indices();
    int64_t places = 1;
    group = at::zeros({indices.size(1)}, indices.options());
    for (int64_t d = sparse.sparse_dim() - 1; d >= 0; --d) {
      if (d == dim) continue;
      group.add_(indices[d], places);
      places *= sparse.size(d);
    }
    groups = places;
    if (places <= std::max<int64_t>(4 * indices.size(1), 65536)) return;
    auto [unique, inverse, count] = at::_unique2(group, true, true);
    group = inverse, groups = unique.size(0);
  }
  at::Tensor sum(const at::Tensor& values) const {  // of each element's group
    const at::Tensor sums = at::zeros({groups, values.size(1)}, values.options());
    return sums.index_add_(0, group, values).index_select(0, group);
  }
  at::Tensor max(const at::Tensor& values) const {
    const at::Tensor most = at::full({groups, values.size(1)},
                                     -std::numeric_limits<double>::infinity(), values.options());
    const at::Tensor at = group.unsqueeze(1).expand(values.sizes());
    return most.scatter_reduce_(0, at, values, "amax").index_select(0, group);
  }
};

at::Tensor columns(const at::Tensor& values) { return values.reshape({values.size(0), -1}); }

at::Tensor like(const at::Tensor& sparse, const at::Tensor& values) {
  return at::_sparse_coo_tensor_unsafe(sparse._indices().clone(), values, sparse.sizes())
      ._coalesced_(true);
}

template <bool log>
at::Tensor softmax(const at::Tensor& self, int64_t dim, bool half_to_float) {
  TORCH_CHECK(!half_to_float, "softmax with half to float conversion is not supported on a sparse ",
              "tensor");
  const at::Tensor in = self.coalesce(), values = in._values();
  const int64_t d = c10::maybe_wrap_dim(dim, self.dim()), dense = d - self.sparse_dim() + 1;
  if (values.numel() == 0) return like(in, values.clone());
  if (dense > 0)
    return like(in,
                log ? at::_log_softmax(values, dense, false) : at::_softmax(values, dense, false));
  const Rows rows(in, d);
  const at::Tensor v = columns(values), shifted = v - rows.max(v), powers = shifted.exp();
  const at::Tensor sums = rows.sum(powers);
  return like(in, (log ? shifted - sums.log() : powers / sums).view(values.sizes()));
}

template <bool log>
at::Tensor softmax_backward(const at::Tensor& grad, const at::Tensor& output, int64_t dim,
                            const at::Tensor& self) {
  const at::Tensor out = output.coalesce(), values = out._values();
  const int64_t d = c10::maybe_wrap_dim(dim, self.dim()), dense = d - self.sparse_dim() + 1;
  if (values.numel() == 0) return like(out, values.clone());
  const at::Tensor given = values_at(grad.coalesce(), places_of(out));
  const at::ScalarType type = values.scalar_type();
  if (dense > 0)
    return like(out, log ? at::_log_softmax_backward_data(given, values, dense, type)
                         : at::_softmax_backward_data(given, values, dense, type));
  const Rows rows(out, d);
  const at::Tensor g = columns(given), y = columns(values);
  const at::Tensor slope = log ? g - y.exp() * rows.sum(g) : y * (g - rows.sum(y * g));
  return like(out, slope.view(values.sizes()));
}

TORCH_LIBRARY_IMPL(aten, SparsePrivateUse1, m) {
  m.impl("_sparse_softmax", &softmax<false>);
  m.impl("_sparse_log_softmax", &softmax<true>);
  m.impl("_sparse_softmax_backward_data", &softmax_backward<false>);
  m.impl("_sparse_log_softmax_backward_data", &softmax_backward<true>);
}

}  // namespace
}  // namespace trn::ops
