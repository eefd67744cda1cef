// Host copies of the tensors of a collective, in types that the transport has.
#pragma once

#include <ATen/core/Tensor.h>

#include <torch/csrc/distributed/c10d/Types.hpp>
#include <vector>

#include "comm/lane.h"

namespace trn::comm {

// How a tensor takes part. Raises for one that is not on trn or not dense.
Slot reads(const at::Tensor& t);
Slot writes(const at::Tensor& t);
Slot updates(const at::Tensor& t);
std::vector<Slot> reads(const std::vector<at::Tensor>& all);
std::vector<Slot> writes(const std::vector<at::Tensor>& all);
std::vector<Slot> updates(const std::vector<at::Tensor>& all);
std::vector<Slot> operator+(std::vector<Slot> a, const std::vector<Slot>& b);

// The host tensors of slots [begin, end): to compute with (complex numbers as pairs), or for moving
// only, as bytes where the transport does not know the type.
std::vector<at::Tensor> hosts(const std::vector<Slot>& slots, size_t begin, size_t end);
std::vector<at::Tensor> bytes(const std::vector<Slot>& slots, size_t begin, size_t end);

// A reduction that the transport knows, and what the device has to do before and after.
struct Reduction {
  c10d::ReduceOp op;
  double before = 1;  // factor on the way down (PREMUL_SUM)
  double after = 1;   // divisor of the results (AVG)
};
// Raises for what cannot be reduced so. Changes the slots' host tensors of truth values to
// bytes.
Reduction prepare(const c10d::ReduceOp& op, int ranks, std::vector<Slot>& slots);
// Divides the results on the device, where a reduction asks for it.
std::function<void(std::vector<Slot>&)> finisher(const Reduction& reduction);

}  // namespace trn::comm
