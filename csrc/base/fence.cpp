// Heavy fences by membarrier(2), where the system has it.
#include "base/fence.h"

#if __has_include(<linux/membarrier.h>)
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace trn {
namespace {

#ifdef __NR_membarrier
bool call(int command) { return syscall(__NR_membarrier, command, 0, 0) == 0; }
bool prepare() { return call(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED); }
bool fence_all() { return call(MEMBARRIER_CMD_PRIVATE_EXPEDITED); }
#else
bool prepare() { return false; }
bool fence_all() { return false; }
#endif

}  // namespace

const bool has_heavy_fence = prepare();

void asymmetric_fence_heavy() {
  if (!has_heavy_fence || !fence_all()) std::atomic_thread_fence(std::memory_order_seq_cst);
}

}  // namespace trn
