// CUDA's caching policy: rounding, best fit, splitting, merging, and giving back under pressure.
#include "runtime/device_cache.h"

#include <c10/core/AllocatorConfig.h>
#include <c10/util/Exception.h>
#include <c10/util/llvmMathExtras.h>

#include <algorithm>
#include <utility>

#include "base/option.h"
#include "base/spoken.h"

namespace trn::runtime {
namespace {

using c10::CachingAllocator::AcceleratorAllocatorConfig;
using c10::CachingAllocator::StatType;

// The figures of PyTorch's CUDA allocator, so that a program's memory looks as it is used to.
constexpr size_t kSmallBuffer = 2 << 20;   // segment for small ones
constexpr size_t kLargeBuffer = 20 << 20;  // segment for 1 to 10 MiB
constexpr size_t kMinLargeAlloc = 10 << 20;
constexpr size_t kRoundLarge = 2 << 20;

size_t round_size(size_t size) {
  if (size < kMinBlock) return kMinBlock;
  const size_t divisions = AcceleratorAllocatorConfig::roundup_power2_divisions(size);
  if (divisions > 1 && size > kMinBlock * divisions) {
    const size_t floor = c10::llvm::PowerOf2Floor(size);
    const size_t step = floor / divisions;
    return step == 0 ? 2 * floor : (size + step - 1) / step * step;
  }
  return (size + kMinBlock - 1) / kMinBlock * kMinBlock;
}

size_t segment_size(size_t size) {
  if (size <= kSmallSize) return kSmallBuffer;
  if (size < kMinLargeAlloc) return kLargeBuffer;
  return (size + kRoundLarge - 1) / kRoundLarge * kRoundLarge;
}

std::string readable(uint64_t bytes) {
  char text[32];
  const double b = static_cast<double>(bytes);
  if (bytes <= 1024) std::snprintf(text, sizeof text, "%llu bytes", (unsigned long long)bytes);
  else if (bytes <= 1048576) std::snprintf(text, sizeof text, "%.2f KiB", b / 1024);
  else if (bytes <= 1073741824ull) std::snprintf(text, sizeof text, "%.2f MiB", b / 1048576);
  else std::snprintf(text, sizeof text, "%.2f GiB", b / 1073741824);
  return text;
}

}  // namespace

DeviceCache::DeviceCache(c10::DeviceIndex index) : index_(index) {
  stats_.max_split_size = AcceleratorAllocatorConfig::max_split_size();
}

Block* DeviceCache::allocate(size_t bytes, c10::Stream stream) {
  std::shared_ptr<c10::GatheredContext> context;
  if (C10_UNLIKELY(history_) && gather_)
    context = gather_();  // before the lock: it may need the GIL
  std::lock_guard lock(mutex_);
  if (C10_UNLIKELY(!pending_.empty() || !deferred_.empty())) process_events();
  const size_t size = round_size(bytes);
  PoolPair& pools = C10_UNLIKELY(!routes_.empty()) ? pools_for(stream) : shared_;
  Pool& pool = size <= kSmallSize ? pools.small : pools.large;
  Block* block = take_parked(pool, size, stream);
  if (!block) block = find_cached(pool, size, stream);
  if (!block && pool.parked) {
    unpark(pool);
    block = find_cached(pool, size, stream);
  }
  if (!block) {
    collect_garbage();
    block = allocate_segment(pool, size, stream);
  }
  if (!block) {
    ++stats_.num_alloc_retries;
    release_cached();
    block = allocate_segment(pool, size, stream);
  }
  if (!block) raise_out_of_memory(bytes);
  block = split_if_worth(block, size);
  block->allocated = true;
  block->requested = bytes;
  block->context = context;
  link_active(block);
  each(pool, [&](size_t i) {
    stats_.allocation[i].increase(1);
    stats_.allocated_bytes[i].increase(block->size);
    stats_.active[i].increase(1);
    stats_.active_bytes[i].increase(block->size);
    stats_.requested_bytes[i].increase(block->requested);
  });
  if (block->size >= AcceleratorAllocatorConfig::max_split_size())
    stats_.oversize_allocations.increase(1);
  note(Action::ALLOC, block->ptr, bytes, stream, &pool, std::move(context));
  return block;
}

Block* DeviceCache::find_cached(Pool& pool, size_t size, c10::Stream stream) {
  if (AcceleratorAllocatorConfig::garbage_collection_threshold() > 0)
    for (Block* b : pool.free) ++b->unused_rounds;
  Block key(index_, stream, nullptr, size, &pool);
  const auto it = pool.free.lower_bound(&key);
  if (it == pool.free.end() || (*it)->stream != stream) return nullptr;
  Block* block = *it;
  const size_t max_split = AcceleratorAllocatorConfig::max_split_size();
  // An oversize block is never split, so it is not spent on something much smaller.
  if (size < max_split && block->size >= max_split) return nullptr;
  if (size >= max_split &&
      block->size >= size + AcceleratorAllocatorConfig::max_non_split_rounding_size())
    return nullptr;
  pool.free.erase(it);
  count_inactive(block, false);
  block->unused_rounds = 0;
  return block;
}

bool DeviceCache::take_from_driver(size_t bytes, void** ptr) {
  driver::Device& d = device(index_);
  const size_t limit = static_cast<size_t>(fraction_ * static_cast<double>(d.memory().total));
  if (stats_.reserved_bytes[0].current + bytes > limit) return false;
  auto result = d.allocate(static_cast<int64_t>(bytes));
  if (!result.ok()) return false;
  *ptr = result.value();
  return true;
}

Block* DeviceCache::allocate_segment(Pool& pool, size_t size, c10::Stream stream) {
  const size_t bytes = segment_size(size);
  void* ptr = nullptr;
  if (!take_from_driver(bytes, &ptr)) return nullptr;
  ++stats_.num_device_alloc;
  if (bytes >= AcceleratorAllocatorConfig::max_split_size()) stats_.oversize_segments.increase(1);
  count_segment(pool, static_cast<int64_t>(bytes));
  note(Action::SEGMENT_ALLOC, ptr, bytes, stream, &pool);
  static const bool verbose = options().has_verbose("alloc");
  if (C10_UNLIKELY(verbose))
    std::fprintf(stderr, "trn,alloc,%d,%zu\n", static_cast<int>(index_), bytes);
  return new Block(index_, stream, static_cast<char*>(ptr), bytes, &pool);
}

Block* DeviceCache::split_if_worth(Block* block, size_t size) {
  const size_t rest = block->size - size;
  const bool worth = block->pool->is_small
                         ? rest >= kMinBlock
                         : size < AcceleratorAllocatorConfig::max_split_size() && rest > kSmallSize;
  if (!worth) return block;
  auto* tail = new Block(index_, block->stream, block->ptr + size, rest, block->pool);
  tail->prev = block;
  tail->next = block->next;
  if (tail->next) tail->next->prev = tail;
  block->next = tail;
  block->size = size;
  block->pool->free.insert(tail);
  count_inactive(tail, true);
  return block;
}

void DeviceCache::free(Block* block) {
  std::shared_ptr<c10::GatheredContext> context;
  if (C10_UNLIKELY(history_) && gather_) context = gather_();
  std::lock_guard lock(mutex_);
  block->allocated = false;
  note(Action::FREE_REQUESTED, block->ptr, block->requested, block->stream, block->pool, context);
  each(*block->pool, [&](size_t i) {
    stats_.allocation[i].decrease(1);
    stats_.allocated_bytes[i].decrease(block->size);
  });
  if (block->size >= AcceleratorAllocatorConfig::max_split_size())
    stats_.oversize_allocations.decrease(1);
  if (block->used_on.empty()) return release_to_pool(block);
  if (C10_LIKELY(routes_.empty())) return wait_for_others(block);
  ++block->waiting_for;  // an event recorded now could become part of a graph
  deferred_.push_back(block);
}

void DeviceCache::wait_for_others(Block* block) {
  for (const c10::Stream& s : block->used_on) {
    pending_.emplace_back();
    pending_.back().block = block;
    record(pending_.back().event, s, /*timing=*/false);
    ++block->waiting_for;
  }
  block->used_on.clear();
}

void DeviceCache::record_stream(Block* block, c10::Stream stream) {
  std::lock_guard lock(mutex_);
  if (stream == block->stream) return;
  auto& used = block->used_on;
  if (std::find(used.begin(), used.end(), stream) == used.end()) used.push_back(stream);
}

// Looks at timelines only; nothing waits.
void DeviceCache::process_events() {
  if (routes_.empty()) {
    for (Block* block : std::exchange(deferred_, {})) {
      --block->waiting_for;
      wait_for_others(block);
    }
  }
  for (size_t i = 0; i < pending_.size();) {
    if (!query(pending_[i].event)) {
      ++i;
      continue;
    }
    Block* block = pending_[i].block;
    pending_.erase(pending_.begin() + static_cast<int64_t>(i));
    if (--block->waiting_for == 0) release_to_pool(block);
  }
}

void DeviceCache::release_to_pool(Block* block) {
  note(Action::FREE_COMPLETED, block->ptr, block->requested, block->stream, block->pool,
       block->context);
  unlink_active(block);
  block->context.reset();
  each(*block->pool, [&](size_t i) {
    stats_.active[i].decrease(1);
    stats_.active_bytes[i].decrease(block->size);
    stats_.requested_bytes[i].decrease(block->requested);
  });
  if (block->pool->is_small && block->size <= kSmallSize) park(block);
  else make_free(block);
}

void DeviceCache::release_segment(Block* block) {
  note(Action::SEGMENT_FREE, block->ptr, block->size, block->stream, block->pool);
  const Status status = device(index_).release(block->ptr);
  TORCH_INTERNAL_ASSERT(status.ok(), status.message());
  count_segment(*block->pool, -static_cast<int64_t>(block->size));
  ++stats_.num_device_free;
  if (block->size >= AcceleratorAllocatorConfig::max_split_size())
    stats_.oversize_segments.decrease(1);
  block->pool->free.erase(block);
  delete block;
}

// Above the configured share of memory, segments that were long unused go first.
void DeviceCache::collect_garbage() {
  const double threshold = AcceleratorAllocatorConfig::garbage_collection_threshold();
  if (threshold <= 0) return;
  driver::Device& d = device(index_);
  const auto limit =
      static_cast<int64_t>(threshold * fraction_ * static_cast<double>(d.memory().total));
  std::vector<Block*> whole;
  for (Block* b : shared_.large.free)
    if (!b->is_split() && b->unused_rounds > 0) whole.push_back(b);
  std::sort(whole.begin(), whole.end(),
            [](Block* a, Block* b) { return a->unused_rounds > b->unused_rounds; });
  for (Block* b : whole) {
    if (stats_.reserved_bytes[0].current <= limit) return;
    driver::Queue* queue = queue_of(b->stream);
    d.wait(queue, d.submitted(queue));
    release_segment(b);
  }
}

void DeviceCache::raise_out_of_memory(size_t bytes) {
  const driver::MemoryInfo info = device(index_).memory();
  ++stats_.num_ooms;
  note(Action::OOM, reinterpret_cast<void*>(info.free), bytes, default_stream(index_), nullptr);
  const auto allocated = static_cast<uint64_t>(stats_.allocated_bytes[0].current);
  const auto reserved = static_cast<uint64_t>(stats_.reserved_bytes[0].current);
  c10::reportOutOfMemoryToProfiler(static_cast<int64_t>(bytes), allocated, reserved,
                                   c10::Device(c10::kPrivateUse1, index_));
  std::string allowed;
  if (fraction_ < 1.0)
    allowed =
        readable(static_cast<uint64_t>(fraction_ * static_cast<double>(info.total))) + " allowed; ";
  TORCH_CHECK_WITH(
      OutOfMemoryError, false, spoken_platform(), " out of memory. Tried to allocate ",
      readable(bytes), ". GPU ", static_cast<int>(index_), " has a total capacity of ",
      readable(info.total), " of which ", readable(info.free), " is free. ", allowed,
      "Of the allocated memory ", readable(allocated), " is allocated by PyTorch, and ",
      readable(reserved - allocated),
      " is reserved by PyTorch but unallocated. TRN_MEMORY sets the capacity of a device.");
}

c10::CachingDeviceAllocator::DeviceStats DeviceCache::stats() {
  std::lock_guard lock(mutex_);
  unpark(shared_.small);
  return stats_;
}

void DeviceCache::set_fraction(double fraction) {
  std::lock_guard lock(mutex_);
  fraction_ = fraction;
}

}  // namespace trn::runtime
