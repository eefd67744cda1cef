// Loads packages of AOTInductor that were compiled for trn.
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <dlfcn.h>
#include <torch/csrc/inductor/aoti_runner/model_container_runner.h>

#include "base/wait.h"
#include "runtime/device.h"

namespace trn::inductor {
namespace {

// A package finds our C functions by name among what the process shows to all: ours, from now on.
void show_symbols() {
  Dl_info here;
  TORCH_INTERNAL_ASSERT(dladdr(reinterpret_cast<void*>(&show_symbols), &here));
  TORCH_CHECK(dlopen(here.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_GLOBAL), dlerror());
}

// "trn:1" as the runtime inside a package spells it (include/.../aoti_include/trn.h).
std::string in_package(const c10::Device& device) {
  show_symbols();
  return device.has_index() ? "cuda:" + std::to_string(device.index()) : "cuda";
}

class Runner final : public torch::inductor::AOTIModelContainerRunner {
 public:
  Runner(const std::string& path, size_t models, const std::string& device,
         const std::string& folder, bool single_threaded)
      : AOTIModelContainerRunner(path, models, in_package(c10::Device(device)), folder,
                                 single_threaded) {}

 private:
  std::vector<at::Tensor> run_impl(std::vector<AtenTensorHandle>& inputs, void* stream) override {
    TORCH_CHECK(!stream, "a package runs on trn's current stream; none can be given");
    // Calls of several threads wait for one another within the package, whose locks know no Python.
    const WaitScope waiting;
    // A package's types were settled when it was compiled.
    const c10::impl::ExcludeDispatchKeyGuard plain(c10::autocast_dispatch_keyset);
    return AOTIModelContainerRunner::run_impl(inputs, stream);
  }
};

std::unique_ptr<torch::inductor::AOTIModelContainerRunner> make_runner(const std::string& path,
                                                                       size_t models,
                                                                       const std::string& device,
                                                                       const std::string& folder,
                                                                       const bool single_threaded) {
  // Loading sets the current device, as it does on CUDA; the caller's comes back.
  const c10::DeviceIndex before = runtime::current_device();
  auto runner = std::make_unique<Runner>(path, models, device, folder, single_threaded);
  runtime::set_device(before);
  return runner;
}

const torch::inductor::RegisterAOTIModelRunner registered("trn", &make_runner);

}  // namespace
}  // namespace trn::inductor
