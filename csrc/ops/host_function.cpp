// Compiled host code in the queue's order: what generated kernels are launched through.
#include "ops/host_function.h"

#include "base/option.h"
#include "driver/driver.h"
#include "driver/team.h"
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

const TrnHostFunctions* trn_host_functions() {
  using namespace trn;
  static constexpr TrnHostFunctions functions{
      ops::launch_host_function, driver::run_team,        driver::team_rank,
      driver::team_size,         driver::compute_threads, driver::team_barrier};
  return &functions;
}
