// Pinned host memory: what asynchronous copies between host and device need.
#pragma once

#include <ATen/core/CachingHostAllocator.h>

namespace trn::runtime {

// PyTorch's caching host allocator over page-aligned memory. The host driver reads any memory, so
// nothing is locked; what the allocator guarantees is that a block outlives the copies from it.
c10::Allocator* pinned_allocator();

// Its statistics, in PyTorch's form, and the two resets of torch.cuda.
at::HostStats pinned_stats();
void reset_accumulated_pinned_stats();
void reset_peak_pinned_stats();

// Whether p lies in a block of pinned_allocator().
bool is_pinned(const void* p);

}  // namespace trn::runtime
