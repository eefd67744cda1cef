// Running an operator on the CPU instead, honestly: counted, said once, and refusable.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/native/CPUFallback.h>

#include <map>
#include <string>
#include <utility>

namespace trn::ops {

enum class FallbackMode { warn, error, silent };
FallbackMode fallback_mode();
void set_fallback_mode(FallbackMode mode);

// Calls since the start or the last reset, by operator ("aten::svd") and by (operator, line).
struct FallbackCount {
  int64_t calls = 0;
  int64_t bytes = 0;   // moved between device and host for it
  std::string reason;  // of the latest call
};
std::map<std::string, FallbackCount> fallback_counts();
std::map<std::pair<std::string, std::string>, FallbackCount> fallback_counts_by_line();
// Seconds of the host, copies and computing together, by (operator, line).
std::map<std::pair<std::string, std::string>, double> fallback_seconds_by_line();
void reset_fallback_counts();

// Why the fallback now starting on this thread happens; "no kernel" unless one is set.
class FallbackReason {
 public:
  explicit FallbackReason(const char* reason);
  ~FallbackReason();

 private:
  const char* previous_;
};

// The boxed fallback registered for every operator without a kernel. Refuses views and mixed
// devices; operators that draw random numbers are seeded from the device's generator.
void boxed_fallback(const c10::OperatorHandle& op, torch::jit::Stack* stack);

// The same for one call that a native operator cannot serve, with the reason why:
//   return fallback<at::_ops::svd>("complex input", self, some);
template <class Op, class... Args>
decltype(auto) fallback(const char* reason, Args&&... args) {
  FallbackReason scope(reason);
  return at::native::call_fallback_fn<&boxed_fallback, Op>::call(std::forward<Args>(args)...);
}

}  // namespace trn::ops
