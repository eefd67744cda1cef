// The one way from a TensorIterator to a launch.
#pragma once

#include <ATen/TensorIterator.h>
#include <c10/util/FunctionRef.h>

#include "ops/launch.h"

namespace trn::ops {

// Queues `family` in the compute type `type` over all elements of `iter`: one operand for each of
// the iterator's, in its order, all of the iterator's (coalesced) shape; strides 0 where broadcast
// or reduced. A CPU scalar becomes an immediate. Work items are elements of the iteration space in
// row-major order. `extra` appends ints and reals. `cost` is steps an element (grain_for).
// More than kMaxDims dimensions after coalescing are split into several launches.
void launch(at::TensorIteratorBase& iter, const Family& family, DType type,
            c10::function_ref<void(Launch&)> extra, int64_t cost = 1);
void launch(at::TensorIteratorBase& iter, const Family& family, DType type, int64_t cost = 1);

// Operand i of an iterator as it stands, without its outer dimensions beyond kMaxDims; for
// families (reductions, indexing) that read more from the iterator than launch() does.
Operand iterator_operand(const at::TensorIteratorBase& iter, int i);
// The device index all non-scalar operands of an iterator lie on.
c10::DeviceIndex iterator_device(const at::TensorIteratorBase& iter);

}  // namespace trn::ops
