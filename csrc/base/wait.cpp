// Holds the hooks that Python sets around waits.
#include "base/wait.h"

#include <atomic>

namespace trn {
namespace {

std::atomic<void* (*)()> enter_hook{nullptr};
std::atomic<void (*)(void*)> leave_hook{nullptr};
thread_local int keeping = 0;

}  // namespace

void set_wait_hooks(void* (*enter)(), void (*leave)(void*)) {
  leave_hook.store(leave);
  enter_hook.store(enter);
}

WaitScope::WaitScope() : state_(nullptr) {
  if (auto* enter = enter_hook.load(); enter && !keeping) state_ = enter();
}

WaitScope::~WaitScope() {
  if (state_) leave_hook.load()(state_);
}

WaitKeepingLocks::WaitKeepingLocks() { ++keeping; }
WaitKeepingLocks::~WaitKeepingLocks() { --keeping; }

}  // namespace trn
