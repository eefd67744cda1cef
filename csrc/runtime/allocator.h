// The caching allocator of device memory, with CUDA's policy and CUDA's numbers.
#pragma once

#include <c10/core/CachingDeviceAllocator.h>

#include <functional>
#include <vector>

namespace trn::runtime {

// The one allocator, registered for PrivateUse1. Frees are stream-ordered: a block may be handed
// out again at once on the stream it was allocated on; see recordStream for others.
// Raises c10::OutOfMemoryError (torch.OutOfMemoryError) after the cache was freed in vain.
c10::DeviceAllocator* allocator();

// A fraction of the device's memory above which allocations fail; 0 to 1.
void set_memory_fraction(double fraction, c10::DeviceIndex device);
double memory_fraction(c10::DeviceIndex device);

// Private pools of memory, for graphs and for torch.trn.MemPool. From begin_pool() to end_pool()
// allocations on streams that `takes` accepts come from the pool. Each begin_pool() counts one use,
// which release_pool() gives back; the memory of an unused pool may go back to the driver.
c10::MempoolId_t new_pool_id();
void begin_pool(c10::DeviceIndex device, c10::MempoolId_t pool,
                std::function<bool(c10::Stream)> takes);
void end_pool(c10::DeviceIndex device, c10::MempoolId_t pool);
void release_pool(c10::DeviceIndex device, c10::MempoolId_t pool);
int pool_uses(c10::DeviceIndex device, c10::MempoolId_t pool);

// Everything reserved, in the order of addresses, and the history since it was switched on.
struct Snapshot {
  std::vector<c10::CachingDeviceAllocator::SegmentInfo> segments;
  std::vector<std::vector<c10::CachingDeviceAllocator::TraceEntry>> traces;  // by device
};
Snapshot memory_snapshot();

// Starts or stops recording allocations; `gather` makes a context (a Python stack) for each and
// may be null. At most `max_entries` are kept, the newest.
void record_memory_history(bool enabled, c10::CachingDeviceAllocator::CreateContextFn gather,
                           size_t max_entries);
bool is_memory_history_enabled();

// Called on the thread whose allocation fails, before OutOfMemoryError is raised, with no lock
// held: device, bytes asked for, the device's capacity and its free bytes. What it throws is raised
// instead. Observers stay.
using OutOfMemoryObserver = std::function<void(int64_t, int64_t, int64_t, int64_t)>;
void attach_out_of_memory_observer(OutOfMemoryObserver observer);

}  // namespace trn::runtime
