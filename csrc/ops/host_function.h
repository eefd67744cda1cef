// Compiled host code in the queue's order.
#pragma once

namespace trn::ops {

// Queues run(context) on the current stream of the current device. What the function reads and
// writes must be device memory, or outlive the stream's next synchronisation. free(context) follows
// when it has run or, captured into a graph, when the graph goes. Raises RuntimeError under
// TRN_STRICT=isolate, where host code cannot reach device memory.
void launch_host_function(void (*run)(void*), void* context, void (*free)(void*));

}  // namespace trn::ops

// For code that is compiled at run time and finds this by name: the same, and a team of threads in
// place of OpenMP's, whose threads spin after their work on the cores that the next kernel needs.
struct TrnHostFunctions {
  void (*launch)(void (*run)(void*), void* context, void (*free)(void*));
  void (*run_team)(void (*run)(void*), void* context, int threads);
  int (*team_rank)();
  int (*team_size)();
  int (*most_threads)();
  void (*team_barrier)();
};
extern "C" __attribute__((visibility("default"))) const TrnHostFunctions* trn_host_functions();
