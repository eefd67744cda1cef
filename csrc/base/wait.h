// What a thread gives up while it waits for a device.
#pragma once

namespace trn {

// Called around every wait of a host thread that is not over at once. Python gives up its lock
// there if the thread holds it: what is waited for may need it, as the end of a collective does
// that drops the last reference to a tensor. enter() returns what leave() needs; it may not throw.
void set_wait_hooks(void* (*enter)(), void (*leave)(void*));

// The scope of a wait. No lock that others take while they hold Python's may be held around it,
// but within a WaitKeepingLocks.
class WaitScope {
 public:
  WaitScope();
  ~WaitScope();
  WaitScope(const WaitScope&) = delete;
  WaitScope& operator=(const WaitScope&) = delete;

 private:
  void* state_;
};

// Waits of this thread give nothing up in its lifetime.
class WaitKeepingLocks {
 public:
  WaitKeepingLocks();
  ~WaitKeepingLocks();
  WaitKeepingLocks(const WaitKeepingLocks&) = delete;
  WaitKeepingLocks& operator=(const WaitKeepingLocks&) = delete;
};

}  // namespace trn
