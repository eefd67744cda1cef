// The compute threads: they run one kernel together, the queue's own thread among them.
#pragma once

#include "kernel.h"

namespace trn::driver {

// Runs a call to its end on this thread and, when it is large and they are free, the pool's.
// `call` must hold addresses that this process may read. Faults go to `fault`.
void run_kernel(const Call& call, Fault* fault);

// Copies or fills, split over the pool when large.
void run_copy(void* dst, const void* src, int64_t bytes);
void run_fill(void* dst, int value, int64_t bytes);

}  // namespace trn::driver
