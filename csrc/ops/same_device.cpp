// The errors of a call whose tensors lie on several devices.
#include "ops/same_device.h"

#include <regex>
#include <typeinfo>

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

void rethrow_spoken() {
  try {
    throw;
  } catch (const c10::Error& e) {
    // Those derived from it become Python types of their own.
    if (!speaks_of_cuda() || typeid(e) != typeid(c10::Error)) throw;
    static const std::regex device("\\btrn(:[0-9])"), type("\\btrn([A-Z][A-Za-z0-9]*Type)\\b");
    std::string said = std::regex_replace(e.msg(), device, "cuda$1");
    said = std::regex_replace(said, type, "CUDA$1");  // "torch.cuda.FloatTensor" in Python
    if (said == e.msg()) throw;
    c10::Error spoken(std::move(said), e.backtrace(), e.caller());
    for (const std::string& context : e.context()) spoken.add_context(context);
    throw spoken;
  }
}

}  // namespace trn::ops
