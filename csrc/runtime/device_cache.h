// The cache of one device: segments from the driver, cut into blocks, kept by stream.
#pragma once

#include <c10/core/CachingDeviceAllocator.h>

#include <deque>
#include <mutex>
#include <set>
#include <vector>

#include "runtime/stream.h"

namespace trn::runtime {

struct Pool;

// A piece of a segment; neighbours of the same segment are linked.
struct Block {
  c10::DeviceIndex device;
  c10::Stream stream;
  char* ptr = nullptr;
  size_t size = 0;       // bytes of memory
  size_t requested = 0;  // bytes asked for
  Pool* pool = nullptr;
  bool allocated = false;
  int32_t unused_rounds = 0;  // allocations since it was last used; for garbage collection
  Block* prev = nullptr;  // neighbours in the segment
  Block* next = nullptr;
  Block* active_prev = nullptr;  // the list of active blocks, for snapshots
  Block* active_next = nullptr;
  std::vector<c10::Stream> used_on;  // other streams, by recordStream
  int waiting_for = 0;               // of those, not yet reached
  std::shared_ptr<c10::GatheredContext> context;
  Block(c10::DeviceIndex d, c10::Stream s, char* p, size_t n, Pool* pool)
      : device(d), stream(s), ptr(p), size(n), pool(pool) {}
  bool is_split() const { return prev || next; }
};

struct BySize {
  bool operator()(const Block* a, const Block* b) const {
    if (a->stream.id() != b->stream.id()) return a->stream.id() < b->stream.id();
    if (a->size != b->size) return a->size < b->size;
    return a->ptr < b->ptr;
  }
};

// Blocks of up to 1 MiB and larger ones are cached apart, so that small ones do not pin large
// segments.
struct Pool {
  bool is_small;
  std::set<Block*, BySize> free;
};

// Thread-safe.
class DeviceCache {
 public:
  explicit DeviceCache(c10::DeviceIndex index);

  Block* allocate(size_t bytes, c10::Stream stream);
  void free(Block* block);
  void record_stream(Block* block, c10::Stream stream);
  void empty();

  c10::CachingDeviceAllocator::DeviceStats stats();
  void reset_accumulated();
  void reset_peaks();
  double fraction() const { return fraction_; }
  void set_fraction(double fraction);

  void snapshot(std::vector<c10::CachingDeviceAllocator::SegmentInfo>& segments);
  std::vector<c10::CachingDeviceAllocator::TraceEntry> trace();
  void record_history(bool enabled, c10::CachingDeviceAllocator::CreateContextFn gather,
                      size_t max_entries);

 private:
  using Action = c10::CachingDeviceAllocator::TraceEntry::Action;

  Block* find_cached(Pool& pool, size_t size, c10::Stream stream);
  Block* allocate_segment(Pool& pool, size_t size, c10::Stream stream);
  bool take_from_driver(size_t bytes, void** ptr);
  void collect_garbage();
  Block* split_if_worth(Block* block, size_t size);
  void release_to_pool(Block* block);
  void link_active(Block* block);
  void unlink_active(Block* block);
  size_t merge(Block* into, Block* neighbour);
  void process_events();
  void release_cached();
  void release_segment(Block* block);
  [[noreturn]] void raise_out_of_memory(size_t bytes);
  void note(Action action, const void* ptr, size_t size, c10::Stream stream,
            std::shared_ptr<c10::GatheredContext> context = nullptr);
  c10::CachingAllocator::StatTypes types_of(const Pool& pool) const;

  const c10::DeviceIndex index_;
  std::mutex mutex_;
  Pool small_{true}, large_{false};
  Block* active_ = nullptr;  // first of those allocated, or waiting for other streams
  struct Pending {
    Block* block;
    Event event;
  };
  std::deque<Pending> pending_;
  c10::CachingDeviceAllocator::DeviceStats stats_;
  double fraction_ = 1.0;

  bool history_ = false;
  c10::CachingDeviceAllocator::CreateContextFn gather_ = nullptr;
  size_t max_entries_ = 0;
  std::deque<c10::CachingDeviceAllocator::TraceEntry> entries_;
};

}  // namespace trn::runtime
