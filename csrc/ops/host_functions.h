// What code that is compiled at run time calls, found by the name trn_host_functions.
#pragma once

// `launch` queues run(context) under a name, see ops/host_function.h; the others are a team of
// threads in place of OpenMP's, whose threads spin after their work on the cores that the next
// kernel needs.
struct TrnHostFunctions {
  void (*launch)(const char* name, void (*run)(void*), void* context, void (*free)(void*));
  void (*run_team)(void (*run)(void*), void* context, int threads);
  int (*team_rank)();
  int (*team_size)();
  int (*most_threads)();
  void (*team_barrier)();
};
extern "C" __attribute__((visibility("default"))) const TrnHostFunctions* trn_host_functions();
