// The CUDA dispatch key while the migration is on: factories, device guard, allocator, `to`.
#include "ops/migrate.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/_sparse_compressed_tensor_unsafe_native.h>
#include <ATen/ops/empty_like_native.h>
#include <ATen/ops/to_native.h>
#include <ATen/ops/zeros_like_native.h>
#include <c10/core/Allocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/library.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "base/site.h"
#include "base/spoken.h"
#include "ops/memory.h"
#include "ops/migrate_script.h"
#include "runtime/allocator.h"

namespace trn::ops {
namespace {

using c10::impl::DeviceGuardImplInterface;

std::atomic<bool> on{false};

struct Counts {
  std::mutex mutex;
  std::vector<std::string> names;                // by id
  std::unordered_map<std::string, int32_t> ids;  // by name
  std::unordered_map<uint64_t, int64_t> calls;   // by id and line
};
Counts& counts() {
  static auto* all = new Counts;
  return *all;
}

c10::Device to_trn(c10::Device d) {
  return d.is_cuda() ? c10::Device(c10::kPrivateUse1, d.index()) : d;
}
c10::Device to_cuda(c10::Device d) { return c10::Device(c10::kCUDA, d.index()); }
std::optional<c10::Device> to_trn(std::optional<c10::Device> d) {
  return d ? std::optional(to_trn(*d)) : d;
}

// A CUDA device guard over trn's: cuda:1 is trn:1.
struct CudaGuard final : DeviceGuardImplInterface {
  static const DeviceGuardImplInterface& trn() {
    return *c10::impl::getDeviceGuardImpl(c10::kPrivateUse1);
  }
  c10::DeviceType type() const override { return c10::kCUDA; }
  c10::Device exchangeDevice(c10::Device d) const override {
    return to_cuda(trn().exchangeDevice(to_trn(d)));
  }
  c10::Device getDevice() const override { return to_cuda(trn().getDevice()); }
  void setDevice(c10::Device d) const override { trn().setDevice(to_trn(d)); }
  void uncheckedSetDevice(c10::Device d) const noexcept override {
    trn().uncheckedSetDevice(to_trn(d));
  }
  c10::DeviceIndex deviceCount() const noexcept override { return trn().deviceCount(); }
  c10::DeviceCapability getDeviceCapability(c10::Device d) const override {
    return trn().getDeviceCapability(to_trn(d));
  }
  // Streams and events are trn's own: whoever asks for one of cuda holds one of trn.
  c10::Stream getStream(c10::Device d) const override { return trn().getStream(to_trn(d)); }
  c10::Stream getDefaultStream(c10::Device d) const override {
    return trn().getDefaultStream(to_trn(d));
  }
  c10::Stream getStreamFromGlobalPool(c10::Device d, bool high) const override {
    return trn().getStreamFromGlobalPool(to_trn(d), high);
  }
  c10::Stream getNewStream(c10::Device d, int priority) const override {
    return trn().getNewStream(to_trn(d), priority);
  }
  c10::Stream exchangeStream(c10::Stream s) const override { return trn().exchangeStream(s); }
  void* getStreamNativeHandle(const c10::Stream s) const override {
    return trn().getStreamNativeHandle(s);
  }
  bool queryStream(const c10::Stream& s) const override { return trn().queryStream(s); }
  void synchronizeStream(const c10::Stream& s) const override { trn().synchronizeStream(s); }
  void synchronizeDevice(c10::DeviceIndex d) const override { trn().synchronizeDevice(d); }
  bool isStreamCapturing(const c10::Stream& s) const override { return trn().isStreamCapturing(s); }
  void record(void** event, const c10::Stream& s, c10::DeviceIndex d,
              c10::EventFlag flag) const override {
    trn().record(event, s, d, flag);
  }
  void block(void* event, const c10::Stream& s) const override { trn().block(event, s); }
  bool queryEvent(void* event) const override { return trn().queryEvent(event); }
  void synchronizeEvent(void* event) const override { trn().synchronizeEvent(event); }
  void destroyEvent(void* event, c10::DeviceIndex d) const noexcept override {
    trn().destroyEvent(event, d);
  }
  double elapsedTime(void* a, void* b, c10::DeviceIndex d) const override {
    return trn().elapsedTime(a, b, d);
  }
  void recordDataPtrOnStream(const c10::DataPtr& p, const c10::Stream& s) const override {
    trn().recordDataPtrOnStream(p, s);
  }
};

// Any other operator that arrives under a CUDA key: the same call, on trn.
void redirect(const c10::OperatorHandle& op, c10::DispatchKeySet keys, torch::jit::Stack* stack) {
  const size_t n = op.schema().arguments().size();
  for (size_t i = stack->size() - n; i < stack->size(); ++i)
    if ((*stack)[i].isDevice()) (*stack)[i] = to_trn((*stack)[i].toDevice());
  note_redirection(redirection_id(op.schema().name()));
  const c10::DispatchKeySet trn_keys = keys.remove_backend(c10::BackendComponent::CUDABit) |
                                       c10::DispatchKeySet(c10::BackendComponent::PrivateUse1Bit);
  op.redispatchBoxed(trn_keys, stack);
}

at::Tensor empty_memory_format(at::IntArrayRef size, std::optional<at::ScalarType> dtype,
                               std::optional<at::Layout> layout, std::optional<at::Device> device,
                               std::optional<bool> pin_memory,
                               std::optional<at::MemoryFormat> memory_format) {
  static const int32_t id = redirection_id("aten::empty");
  note_redirection(id);
  return empty_of(size, at::TensorOptions()
                            .dtype(dtype)
                            .layout(layout)
                            .device(to_trn(device))
                            .pinned_memory(pin_memory)
                            .memory_format(memory_format));
}

at::Tensor empty_strided(at::IntArrayRef size, at::IntArrayRef stride,
                         std::optional<at::ScalarType> dtype, std::optional<at::Layout> layout,
                         std::optional<at::Device> device, std::optional<bool> pin_memory) {
  static const int32_t id = redirection_id("aten::empty_strided");
  note_redirection(id);
  return empty_strided_of(size, stride,
                          at::TensorOptions()
                              .dtype(dtype)
                              .layout(layout)
                              .device(to_trn(device))
                              .pinned_memory(pin_memory));
}

// Without these a tensor that is on trn already would be copied by .to("cuda"), and one of the
// CPU's would be said to go to CUDA where nothing is computed: in a graph that is traced.
at::Tensor to_device(const at::Tensor& self, at::Device device, at::ScalarType dtype,
                     bool non_blocking, bool copy, std::optional<at::MemoryFormat> memory_format) {
  return at::native::to(self, to_trn(device), dtype, non_blocking, copy, memory_format);
}
at::Tensor to_dtype_layout(const at::Tensor& self, std::optional<at::ScalarType> dtype,
                           std::optional<at::Layout> layout, std::optional<at::Device> device,
                           std::optional<bool> pin_memory, bool non_blocking, bool copy,
                           std::optional<at::MemoryFormat> memory_format) {
  return at::native::to(self, dtype, layout, to_trn(device), pin_memory, non_blocking, copy,
                        memory_format);
}

// CSR and its kin, whose parts are on trn: the key would be CUDA's otherwise.
at::Tensor compressed_tensor(const at::Tensor& compressed, const at::Tensor& plain,
                             const at::Tensor& values, c10::SymIntArrayRef size,
                             std::optional<at::ScalarType> dtype, std::optional<at::Layout> layout,
                             std::optional<at::Device> device, std::optional<bool> pin_memory) {
  return at::native::_sparse_compressed_tensor_unsafe_symint(compressed, plain, values, size, dtype,
                                                             layout, to_trn(device), pin_memory);
}

at::Tensor empty_like_compressed(const at::Tensor& self, std::optional<at::ScalarType> dtype,
                                 std::optional<at::Layout> layout, std::optional<at::Device> device,
                                 std::optional<bool> pin_memory,
                                 std::optional<at::MemoryFormat> memory_format) {
  return at::native::empty_like_sparse_csr(self, dtype, layout, to_trn(device), pin_memory,
                                           memory_format);
}

at::Tensor zeros_like_compressed(const at::Tensor& self, std::optional<at::ScalarType> dtype,
                                 std::optional<at::Layout> layout, std::optional<at::Device> device,
                                 std::optional<bool> pin_memory,
                                 std::optional<at::MemoryFormat> memory_format) {
  return at::native::zeros_like(self, dtype, layout, to_trn(device), pin_memory, memory_format);
}

bool is_factory(const c10::OperatorHandle& op) {
  bool takes_device = false;
  for (const auto& a : op.schema().arguments()) {
    const auto type = a.real_type()->str();
    if (type.rfind("Tensor", 0) == 0 || type.rfind("List[Tensor", 0) == 0) return false;
    takes_device |= a.name() == "device";
  }
  return takes_device;
}

struct Discard final : c10::WarningHandler {
  void process(const c10::Warning&) override {}
};

using Libraries = std::vector<std::unique_ptr<torch::Library>>;

void add_library(Libraries& all, const char* ns, c10::DispatchKey key) {
  all.push_back(
      std::make_unique<torch::Library>(torch::Library::IMPL, ns, key, __FILE__, __LINE__));
}

// A CUDA build has factories of its own under that key: they are covered, not removed.
void cover_factories(torch::Library& cuda) {
  auto& dispatcher = c10::Dispatcher::singleton();
  for (const c10::OperatorName& name : dispatcher.getAllOpNames()) {
    const auto op = dispatcher.findOp(name);
    if (!op || !op->hasSchema() || name.getNamespace() != "aten" ||
        !op->hasKernelForDispatchKey(c10::DispatchKey::CUDA) || !is_factory(*op))
      continue;
    const std::string full =
        name.overload_name.empty() ? name.name : name.name + "." + name.overload_name;
    if (full == "aten::empty.memory_format" || full == "aten::empty_strided") continue;
    cuda.impl(full.c_str(), torch::CppFunction::makeFromBoxedFunction<&redirect>());
  }
}

Libraries register_all() {
  Discard discard;  // covering a CUDA build's kernels is meant
  const c10::WarningUtils::WarningHandlerGuard quiet(&discard);
  Libraries all;
  add_library(all, "aten", c10::DispatchKey::CUDA);
  torch::Library& cuda = *all.back();
  cover_factories(cuda);
  cuda.impl("empty.memory_format", TORCH_FN(empty_memory_format));
  cuda.impl("empty_strided", TORCH_FN(empty_strided));
  for (auto key : {c10::DispatchKey::CUDA, c10::DispatchKey::SparseCUDA,
                   c10::DispatchKey::SparseCsrCUDA, c10::DispatchKey::QuantizedCUDA}) {
    add_library(all, "_", key);
    all.back()->fallback(torch::CppFunction::makeFromBoxedFunction<&redirect>());
  }
  for (auto key : {c10::DispatchKey::PrivateUse1, c10::DispatchKey::AutogradPrivateUse1,
                   c10::DispatchKey::CPU, c10::DispatchKey::AutogradCPU}) {
    add_library(all, "aten", key);
    all.back()->impl("to.device", TORCH_FN(to_device));
    all.back()->impl("to.dtype_layout", TORCH_FN(to_dtype_layout));
  }
  for (auto key : {c10::DispatchKey::SparseCsrCUDA, c10::DispatchKey::SparseCsrPrivateUse1}) {
    add_library(all, "aten", key);
    all.back()->impl("_sparse_compressed_tensor_unsafe", TORCH_FN(compressed_tensor));
  }
  for (auto key : {c10::DispatchKey::SparseCsrCPU, c10::DispatchKey::SparseCsrPrivateUse1}) {
    add_library(all, "aten", key);
    all.back()->impl("empty_like", TORCH_FN(empty_like_compressed));
    all.back()->impl("zeros_like", TORCH_FN(zeros_like_compressed));
  }
  return all;
}

// What stood there before, to be put back.
struct State {
  std::mutex mutex;
  Libraries libraries;
  const DeviceGuardImplInterface* guard = nullptr;
  c10::Allocator* allocator = nullptr;
};
State& state() {
  static auto* s = new State;
  return *s;
}

}  // namespace

void enter_migration() {
  State& s = state();
  std::lock_guard lock(s.mutex);
  if (on.load()) return;
  s.libraries = register_all();
  static const auto* cuda_guard = new CudaGuard;
  auto& slot = c10::impl::device_guard_impl_registry[static_cast<size_t>(c10::kCUDA)];
  s.guard = slot.exchange(cuda_guard);
  s.allocator = c10::GetAllocator(c10::kCUDA);
  c10::SetAllocator(c10::kCUDA, runtime::allocator());
  speak_of_cuda(true);
  redirect_script();
  on.store(true);
}

void leave_migration() {
  State& s = state();
  std::lock_guard lock(s.mutex);
  if (!on.load()) return;
  on.store(false);
  restore_script();
  speak_of_cuda(false);
  c10::SetAllocator(c10::kCUDA, s.allocator);
  c10::impl::device_guard_impl_registry[static_cast<size_t>(c10::kCUDA)].store(s.guard);
  s.libraries.clear();
}

Redirections redirections() {
  Counts& c = counts();
  std::lock_guard lock(c.mutex);
  Redirections all;
  for (const auto& [key, calls] : c.calls)
    all[{c.names[key >> 32], static_cast<int32_t>(key)}] = calls;
  return all;
}

int32_t redirection_id(const std::string& what) {
  Counts& c = counts();
  std::lock_guard lock(c.mutex);
  const auto [it, fresh] = c.ids.emplace(what, static_cast<int32_t>(c.names.size()));
  if (fresh) c.names.push_back(what);
  return it->second;
}

void note_redirection(int32_t id) {
  const auto site = static_cast<uint32_t>(capture_site());  // before the lock: it may wait
  Counts& c = counts();
  std::lock_guard lock(c.mutex);
  ++c.calls[static_cast<uint64_t>(id) << 32 | site];
}

bool migration_is_on() noexcept { return on.load(std::memory_order_relaxed); }

}  // namespace trn::ops
