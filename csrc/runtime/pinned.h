// Pinned host memory: what asynchronous copies between host and device need.
#pragma once

#include <c10/core/Allocator.h>

namespace trn::runtime {

// PyTorch's caching host allocator over page-aligned memory. The host driver reads any memory, so
// nothing is locked; what the allocator guarantees is that a block outlives the copies from it.
c10::Allocator* pinned_allocator();

// Whether p lies in a block of pinned_allocator().
bool is_pinned(const void* p);

}  // namespace trn::runtime
