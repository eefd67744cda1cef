// Compiled host code in the queue's order: what generated kernels are launched through.
#include "ops/host_function.h"

#include "base/option.h"
#include "driver/driver.h"
#include "driver/team.h"
#include "ops/launch.h"
#include "runtime/capture.h"

namespace trn::ops {
namespace {

const Family host_function("host_function");

}  // namespace

void launch_host_function(const char* name, void (*run)(void*), void* context,
                          void (*free)(void*)) {
  // Frees the context where anything below raises.
  c10::DataPtr owner(context, context, free, at::kCPU);
  TORCH_CHECK(!options().has_strict("isolate"),
              "generated code reaches device memory as the host: TRN_STRICT=isolate forbids it");
  runtime::Capture* capture = runtime::capture_of(runtime::current_stream(-1));
  Launch(host_function, DType::u8)
      .ints({reinterpret_cast<int64_t>(run), reinterpret_cast<int64_t>(context),
             capture ? 0 : reinterpret_cast<int64_t>(free), reinterpret_cast<int64_t>(name)})
      .run(1, 1);
  if (capture)
    capture->keep(
        c10::Storage(c10::Storage::use_byte_size_t(), 0, std::move(owner), nullptr, false));
  else owner.release_context();
}

}  // namespace trn::ops

const TrnHostFunctions* trn_host_functions() {
  using namespace trn;
  static constexpr TrnHostFunctions functions{ops::launch_host_function, driver::run_team,
                                              driver::team_rank,         driver::team_size,
                                              driver::compute_threads,   driver::team_barrier};
  return &functions;
}
