// Generated loops on the queue: launches by value, and a team of trn's threads in place of
// OpenMP's. Spliced into generated sources, which outlive the process in a cache: the library is
// found by name.
#pragma once

#include <dlfcn.h>
#include <torch_trn/inductor/host_functions.h>

#include <stdexcept>
#include <tuple>
#include <utility>

static const TrnHostFunctions* trn_find() {
  void* library = dlopen("libtorch_trn.so", RTLD_NOLOAD | RTLD_NOW);
  void* find = library ? dlsym(library, "trn_host_functions") : nullptr;
  if (!find) throw std::runtime_error("torch-trn is not loaded");
  return reinterpret_cast<const TrnHostFunctions* (*)()>(find)();
}
static const TrnHostFunctions& trn_host() {
  static const TrnHostFunctions* functions = trn_find();
  return *functions;
}
template <class Function, class... Args>
struct TrnBound {
  Function* function;
  std::tuple<Args...> args;
  static void run(void* self) {
    auto* bound = static_cast<TrnBound*>(self);
    std::apply(bound->function, bound->args);
  }
  static void free(void* self) { delete static_cast<TrnBound*>(self); }
};
template <class... Params, class... Args>
static void trn_launch(const char* name, void (*function)(Params...), Args... args) {
  using Bound = TrnBound<void(Params...), Args...>;
  trn_host().launch(name, &Bound::run, new Bound{function, {args...}}, &Bound::free);
}
// What the compiler makes of "omp parallel", "omp for" and "omp single" calls these; hidden, they
// stand before OpenMP's own for this library.
#pragma GCC visibility push(hidden)
extern "C" {
int omp_get_thread_num() noexcept { return trn_host().team_rank(); }
int omp_get_num_threads() noexcept { return trn_host().team_size(); }
int omp_get_max_threads() noexcept { return trn_host().most_threads(); }
void GOMP_barrier() { trn_host().team_barrier(); }
bool GOMP_single_start() { return trn_host().team_rank() == 0; }
void GOMP_parallel(void (*run)(void*), void* context, unsigned threads, unsigned) {
  const int most = trn_host().most_threads();
  trn_host().run_team(run, context, threads && int(threads) < most ? int(threads) : most);
}
}
#pragma GCC visibility pop
