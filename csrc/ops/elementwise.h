// Element-wise operators by the row of kernels/elementwise.def that computes them.
#pragma once

#include <c10/util/ArrayRef.h>

#include "ops/iterator.h"
#include "ops/op.h"

namespace trn::ops {

// The type an element-wise kernel computes in for tensors of type t: float32 for halves.
DType compute_type(c10::ScalarType t);
// Raises PyTorch's error when a type cannot hold a value.
void check_fits(const c10::Scalar& value, c10::ScalarType type);
// What an iterator promotes its inputs to; the first input's type where it promotes nothing.
c10::ScalarType common_type(const at::TensorIteratorBase& iter);

// Queues a row over an iterator; `scalars` are p0, p1, ... of its expression.
void map(at::TensorIteratorBase& iter, const Family& family, int64_t cost,
         c10::ArrayRef<c10::Scalar> scalars = {});

// One Family a row, named <row>_family.
#define TRN_MAP(name, arity, types, result, cost, ...) extern const Family name##_family;
#define TRN_MAP_MORE(...)
#define TRN_MAP_OWN TRN_MAP
#include "elementwise.def"
#include "elementwise_complex.def"
#undef TRN_MAP
#undef TRN_MAP_MORE
#undef TRN_MAP_OWN

}  // namespace trn::ops
