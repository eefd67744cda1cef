// Compiled host code in the queue's order.
#pragma once

#include "ops/host_functions.h"

namespace trn::ops {

// Queues run(context) on the current stream of the current device. Profilers show `name`, which
// stays where it is for as long as the process. What the function reads and writes must be device
// memory, or outlive the stream's next synchronisation. free(context) follows when it has run or,
// captured into a graph, when the graph goes. Raises RuntimeError under TRN_STRICT=isolate, where
// host code cannot reach device memory.
void launch_host_function(const char* name, void (*run)(void*), void* context, void (*free)(void*));

}  // namespace trn::ops
