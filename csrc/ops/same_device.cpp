// The error of a call whose tensors lie on several devices.
#include "ops/same_device.h"

#include "base/spoken.h"

namespace trn::ops {
namespace {

std::string name_of_device(c10::Device d) {
  if (!d.is_privateuseone()) return d.str();
  return std::string(spoken_device()) + (d.has_index() ? ":" + std::to_string(d.index()) : "");
}

}  // namespace

void devices_differ(c10::Device common, const at::Tensor& t, const char* op, const char* argument) {
  TORCH_CHECK(false, "Expected all tensors to be on the same device, but got ", argument, " is on ",
              name_of_device(t.device()), ", different from other tensors on ",
              name_of_device(common), " (when checking argument in method wrapper_",
              spoken_platform(), "_", op, ")");
}

}  // namespace trn::ops
