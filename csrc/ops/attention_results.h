// What attention's operators have in common, of dense batches and of packed sequences.
#pragma once

#include <ATen/ops/scalar_tensor.h>

#include <tuple>

#include "ops/op.h"

namespace trn::ops {

using Three = std::tuple<at::Tensor, at::Tensor, at::Tensor>;
using Four = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor>;

// Philox's seed or offset as it is returned beside an output: int64 [], on the host.
inline at::Tensor number(int64_t value) {
  return at::scalar_tensor(value, at::TensorOptions().dtype(at::kLong).device(at::kCPU));
}

}  // namespace trn::ops
