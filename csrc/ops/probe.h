// Measurements of the machine itself, for the benchmark: kernels/probe.cpp says what they do.
#pragma once

#include "ops/launch.h"

namespace trn::ops {

// Queues `rounds` rounds of arithmetic in a type; `done` (f64 [items]) receives each item's
// operations. Whether the active instruction set computes in that type; nothing is queued if not.
bool probe_peak(at::ScalarType type, const at::Tensor& done, int64_t rounds);
// Queues copies from memory[i][0] to memory[i][1]; `done` receives bytes read and written.
void probe_copy(const at::Tensor& done, const at::Tensor& memory, int64_t rounds);

}  // namespace trn::ops
