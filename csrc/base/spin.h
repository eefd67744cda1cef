// A turn of a loop that waits without sleeping.
#pragma once

#if defined(__x86_64__)
#include <immintrin.h>
#else
#include <thread>
#endif

namespace trn {

// Leaves the core's other thread, or another thread of the system, some time.
inline void spin_pause() {
#if defined(__x86_64__)
  _mm_pause();
#else
  std::this_thread::yield();
#endif
}

}  // namespace trn
