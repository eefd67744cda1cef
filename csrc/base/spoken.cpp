// See base/spoken.h: one switch for all messages.
#include "base/spoken.h"

#include <atomic>

namespace trn {
namespace {
std::atomic<bool> cuda{false};
}  // namespace

const char* spoken_platform() { return cuda.load(std::memory_order_relaxed) ? "CUDA" : "TRN"; }
const char* spoken_device() { return cuda.load(std::memory_order_relaxed) ? "cuda" : "trn"; }
void speak_of_cuda(bool on) { cuda.store(on, std::memory_order_relaxed); }

}  // namespace trn
