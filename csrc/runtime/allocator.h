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

}  // namespace trn::runtime
