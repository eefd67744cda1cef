// Compiled host code in the queue's order.
#pragma once

namespace trn::ops {

// Queues run(context) on the current stream of the current device. What the function reads and
// writes must be device memory, or outlive the stream's next synchronisation; `run` frees context.
// Raises RuntimeError under TRN_STRICT=isolate, where host code cannot reach device memory.
void launch_host_function(void (*run)(void*), void* context);

}  // namespace trn::ops

// The same for code that is compiled at run time and finds it by name.
extern "C" __attribute__((visibility("default"))) void trn_launch_host_function(
    void (*run)(void*), void* context);
