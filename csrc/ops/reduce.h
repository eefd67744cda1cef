// Reductions: from an iterator or a tensor and dimensions to launches of the engine.
#pragma once

#include <ATen/TensorIterator.h>

#include "ops/op.h"

namespace trn::ops {

struct ReduceArgs {
  std::initializer_list<int64_t> ints = {};  // after the engine's three
  std::initializer_list<double> reals = {};
  std::optional<DType> type = {};  // to compute in, if not the input's own
};

// Reduces the last operand of a reduction iterator into the others (strides 0 where reduced).
void reduce(at::TensorIteratorBase& iter, const Family& family, const ReduceArgs& args = {});

// Reduces `self` over `dims` (none: all) into `outputs`, each of the kept shape (sizes 1 where
// reduced are dropped). Index outputs count along a single dimension, or over all in row-major
// order.
void reduce(at::ArrayRef<at::Tensor> outputs, const at::Tensor& self, at::IntArrayRef dims,
            const Family& family, const ReduceArgs& args = {});

// All dimensions of `t` but one, for at::sum and its kin: none is not all to be reduced.
inline at::DimVector all_but(const at::Tensor& t, int64_t dim) {
  at::DimVector dims;
  for (int64_t d = 0; d < t.dim(); ++d)
    if (d != dim) dims.push_back(d);
  return dims;
}
// The sum over them, which are kept with size 1.
inline at::Tensor sum_all_but(const at::Tensor& t, int64_t dim) {
  const at::DimVector dims = all_but(t, dim);
  return dims.empty() ? t : t.sum(dims, true);
}

}  // namespace trn::ops
