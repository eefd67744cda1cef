// The CPU fallback: what runs, what is counted, what is refused.
#include "ops/fallback.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/Generator.h>
#include <c10/core/DeviceGuard.h>
#include <torch/library.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <set>

#include "base/option.h"
#include "base/site.h"
#include "ops/same_device.h"
#include "runtime/capture.h"
#include "runtime/generator.h"

namespace trn::ops {
namespace {

constexpr const char* kNoKernel = "no kernel";
thread_local const char* reason_now = kNoKernel;

std::mutex mutex;
std::map<std::string, FallbackCount> by_op;
std::map<std::pair<std::string, std::string>, FallbackCount> by_line;
std::map<std::pair<std::string, std::string>, double> seconds_by_line;
std::set<std::string> warned;

FallbackMode mode_from_options() {
  const std::string& word = options().fallback;
  return word == "error"    ? FallbackMode::error
         : word == "silent" ? FallbackMode::silent
                            : FallbackMode::warn;
}
std::atomic<FallbackMode>& mode() {
  static std::atomic<FallbackMode> current{mode_from_options()};
  return current;
}

template <class Visit>
void for_each_tensor(const c10::IValue& value, Visit visit) {
  if (value.isTensor()) {
    if (value.toTensor().defined()) visit(value.toTensor());
  } else if (value.isTensorList()) {
    for (const at::Tensor& t : value.toTensorVector())
      if (t.defined()) visit(t);
  } else if (value.isOptionalTensorList()) {
    for (const auto& t : value.toOptionalTensorVector())
      if (t && t->defined()) visit(*t);
  }
}

// Of all tensors that a tensor is made of.
int64_t bytes_of(const at::Tensor& t) {
  const auto sum = [](const at::Tensor& a, const at::Tensor& b) {
    return static_cast<int64_t>(a.nbytes() + b.nbytes());
  };
  switch (t.layout()) {
    case at::kStrided: return static_cast<int64_t>(t.nbytes());
    case at::kSparse: return sum(t._indices(), t._values());
    case at::kSparseCsr:
    case at::kSparseBsr:
      return sum(t.crow_indices(), t.col_indices()) + static_cast<int64_t>(t.values().nbytes());
    case at::kSparseCsc:
    case at::kSparseBsc:
      return sum(t.ccol_indices(), t.row_indices()) + static_cast<int64_t>(t.values().nbytes());
    default: return 0;
  }
}

struct Arguments {
  c10::Device device{c10::kPrivateUse1};
  int64_t bytes = 0;
  c10::DispatchKey cpu = c10::DispatchKey::CPU;  // where the CPU's kernel for these layouts stands
};

// The CPU's kernels of a layout; of several tensors the layout that dispatch prefers counts.
c10::DispatchKey cpu_key_of(const at::Tensor& t, c10::DispatchKey so_far) {
  using Key = c10::DispatchKey;
  constexpr std::pair<Key, Key> kLayouts[] = {{Key::NestedTensorPrivateUse1, Key::NestedTensorCPU},
                                              {Key::SparseCsrPrivateUse1, Key::SparseCsrCPU},
                                              {Key::SparsePrivateUse1, Key::SparseCPU},
                                              {Key::QuantizedPrivateUse1, Key::QuantizedCPU}};
  for (const auto& [key, cpu] : kLayouts)
    if (cpu == so_far || t.key_set().has(key)) return cpu;
  return so_far;
}

// Refuses what CUDA refuses: tensors of several devices (a CPU scalar is fine).
Arguments check_arguments(const c10::OperatorHandle& op, const torch::jit::Stack& stack) {
  Arguments found;
  std::optional<c10::Device> common;
  const auto& arguments = op.schema().arguments();
  const auto first = stack.size() - arguments.size();
  for (size_t i = 0; i < arguments.size(); ++i) {
    for_each_tensor(stack[first + i], [&](const at::Tensor& t) {
      if (t.is_cpu() && t.dim() == 0) return;
      if (common && *common != t.device()) {
        const c10::OperatorName& name = op.operator_name();
        const std::string method =
            name.overload_name + "_" + name.name.substr(name.name.find("::") + 2);
        devices_differ(*common, t, method.c_str(), arguments[i].name().c_str());
      }
      common = t.device();
      if (!t.is_privateuseone()) return;
      found.device = t.device();
      found.bytes += bytes_of(t);
      found.cpu = cpu_key_of(t, found.cpu);
    });
  }
  return found;
}

// An operator that draws random numbers gets a CPU generator seeded from the device's, so that
// torch.manual_seed decides its numbers too.
void replace_generator(const c10::OperatorHandle& op, torch::jit::Stack& stack,
                       c10::Device device) {
  const auto& arguments = op.schema().arguments();
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i].real_type()->str() != "Generator?" &&
        arguments[i].real_type()->str() != "Generator")
      continue;
    c10::IValue& value = stack[stack.size() - arguments.size() + i];
    std::optional<at::Generator> given;
    if (!value.isNone()) given = value.toGenerator();
    if (given && given->device().is_cpu()) continue;
    const auto [seed, offset] = runtime::reserve(given, device.index(), 4);
    value = c10::IValue(at::detail::createCPUGenerator(seed ^ (offset * 0x9E3779B97F4A7C15ull)));
  }
}

// Nested tensors come to the host by their buffer, which has to hold their members in order.
void order_nested(const c10::OperatorHandle& op, torch::jit::Stack& stack) {
  const size_t n = op.schema().arguments().size();
  for (size_t i = 0; i < n; ++i) {
    c10::IValue& value = stack[stack.size() - n + i];
    if (!value.isTensor() || op.schema().arguments()[i].alias_info()) continue;
    const at::Tensor& t = value.toTensor();
    if (t.defined() && t.is_nested() && !t.is_contiguous()) value = t.contiguous();
  }
}

bool is_view(const c10::OperatorHandle& op) {
  for (const auto& r : op.schema().returns())
    if (r.alias_info() && !r.alias_info()->isWrite()) return true;
  return false;
}

std::string name_of(const c10::OperatorHandle& op) {
  const std::string& overload = op.operator_name().overload_name;
  return overload.empty() ? op.operator_name().name : op.operator_name().name + "." + overload;
}

// Counts a call and returns the line that made it.
std::string count(const std::string& op, const char* reason, int64_t bytes) {
  const std::string line = site_text(capture_site());
  const auto add = [&](FallbackCount& c) {
    c.calls += 1;
    c.bytes += bytes;
    c.reason = reason;
  };
  bool first = false;
  {
    std::lock_guard lock(mutex);
    add(by_op[op]);
    add(by_line[{op, line}]);
    first = warned.insert(op).second;
  }
  if (options().has_verbose("fallback"))
    std::fprintf(stderr, "trn,fallback,%s,%s,%lld,%s\n", op.c_str(), reason,
                 static_cast<long long>(bytes), line.c_str());
  if (first && fallback_mode() == FallbackMode::warn)
    TORCH_WARN("The operator '", op, "' is not run by the trn device (", reason,
               ") and falls back to the CPU", line.empty() ? "" : ", called from ", line,
               ". This is said once an operator; torch.trn.fallback_report() counts them, "
               "TRN_FALLBACK=error refuses them.");
  return line;
}

}  // namespace

FallbackMode fallback_mode() { return mode().load(std::memory_order_relaxed); }
void set_fallback_mode(FallbackMode m) { mode().store(m, std::memory_order_relaxed); }

std::map<std::string, FallbackCount> fallback_counts() {
  std::lock_guard lock(mutex);
  return by_op;
}
std::map<std::pair<std::string, std::string>, FallbackCount> fallback_counts_by_line() {
  std::lock_guard lock(mutex);
  return by_line;
}
std::map<std::pair<std::string, std::string>, double> fallback_seconds_by_line() {
  std::lock_guard lock(mutex);
  return seconds_by_line;
}
void reset_fallback_counts() {
  std::lock_guard lock(mutex);
  by_op.clear();
  by_line.clear();
  seconds_by_line.clear();
  warned.clear();
}

FallbackReason::FallbackReason(const char* reason) : previous_(reason_now) { reason_now = reason; }
FallbackReason::~FallbackReason() { reason_now = previous_; }

void boxed_fallback(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const std::string name = name_of(op);
  const char* reason = reason_now;
  const FallbackReason inner(kNoKernel);
  const Arguments arguments = check_arguments(op, *stack);
  TORCH_CHECK_NOT_IMPLEMENTED(
      op.hasKernelForDispatchKey(arguments.cpu) ||
          op.hasKernelForDispatchKey(c10::DispatchKey::CompositeExplicitAutograd) ||
          op.hasKernelForDispatchKey(c10::DispatchKey::CompositeImplicitAutograd),
      "Could not run '", name, "' on the trn device: it has no trn kernel (", reason,
      ") and no CPU kernel to fall back to.");
  TORCH_CHECK_NOT_IMPLEMENTED(!is_view(op), "The view operator '", name,
                              "' has no trn kernel; views never fall back to the CPU.");
  TORCH_CHECK_NOT_IMPLEMENTED(fallback_mode() != FallbackMode::error, "The operator '", name,
                              "' is not run by the trn device (", reason,
                              ") and TRN_FALLBACK=error refuses to run it on the CPU.");
  if (auto* capture = runtime::capture_of(runtime::current_stream(arguments.device.index())))
    runtime::refuse_in_capture(
        *capture, ("the operator '" + name + "', which runs on the CPU (" + reason + ")").c_str());
  const std::string line = count(name, reason, arguments.bytes);
  const c10::DeviceGuard guard(arguments.device);
  replace_generator(op, *stack, arguments.device);
  order_nested(op, *stack);
  const auto start = std::chrono::steady_clock::now();
  at::native::cpu_fallback(op, stack, /*error_on_views=*/true, arguments.cpu);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  std::lock_guard lock(mutex);
  seconds_by_line[{name, line}] += took.count();
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, m) {
  m.fallback(torch::CppFunction::makeFromBoxedFunction<&boxed_fallback>());
}

}  // namespace trn::ops
