// See base/spoken.h: one switch for all messages.
#include "base/spoken.h"

#include <atomic>

namespace trn {
namespace {
std::atomic<bool> cuda{false};
}  // namespace

bool speaks_of_cuda() { return cuda.load(std::memory_order_relaxed); }
const char* spoken_platform() { return speaks_of_cuda() ? "CUDA" : "TRN"; }
const char* spoken_device() { return speaks_of_cuda() ? "cuda" : "trn"; }
void speak_of_cuda(bool on) { cuda.store(on, std::memory_order_relaxed); }

}  // namespace trn
