// A fence of which one side is free: for two threads that each write, then read what the other
// wrote, where one does so all the time and the other seldom.
#pragma once

#include <atomic>

namespace trn {

// The seldom side, a few microseconds: every thread of the process passes a full fence.
// Source: asymmetric_thread_fence_heavy of P1202R5, Asymmetric Fences; membarrier(2).
void asymmetric_fence_heavy();

// Whether the system makes heavy fences; without them both sides are full fences.
extern const bool has_heavy_fence;

// The frequent side: keeps the compiler from moving reads before writes, no more.
inline void asymmetric_fence_light() {
  if (has_heavy_fence) std::atomic_signal_fence(std::memory_order_seq_cst);
  else std::atomic_thread_fence(std::memory_order_seq_cst);
}

}  // namespace trn
