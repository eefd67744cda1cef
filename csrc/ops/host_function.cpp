// Compiled host code in the queue's order: what generated kernels are launched through.
#include "ops/host_function.h"

#include "base/option.h"
#include "ops/launch.h"

namespace trn::ops {
namespace {

const Family host_function("host_function");

}  // namespace

void launch_host_function(void (*run)(void*), void* context) {
  TORCH_CHECK(!options().has_strict("isolate"),
              "generated code reaches device memory as the host: TRN_STRICT=isolate forbids it");
  Launch(host_function, DType::u8)
      .ints({reinterpret_cast<int64_t>(run), reinterpret_cast<int64_t>(context)})
      .run(1, 1);
}

}  // namespace trn::ops

void trn_launch_host_function(void (*run)(void*), void* context) {
  trn::ops::launch_host_function(run, context);
}
