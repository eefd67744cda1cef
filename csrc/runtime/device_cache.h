// The cache of one device: segments from the driver, cut into blocks, kept by stream.
#pragma once

#include <c10/core/CachingDeviceAllocator.h>

#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <vector>

#include "runtime/stream.h"

namespace trn::runtime {

// The figures of PyTorch's CUDA allocator, so that a program's memory looks as it is used to.
inline constexpr size_t kMinBlock = 512;       // bytes; every block is a multiple
inline constexpr size_t kSmallSize = 1 << 20;  // largest "small" allocation

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
  bool parked = false;        // free, in a bin of its pool
  int32_t unused_rounds = 0;  // allocations since it was last used; for garbage collection
  Block* prev = nullptr;      // neighbours in the segment
  Block* next = nullptr;
  Block* active_prev = nullptr;      // the list of active blocks, for snapshots
  Block* active_next = nullptr;      // while parked: the next of the bin
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
struct PoolPair;
struct Pool {
  PoolPair* pair;
  bool is_small;
  std::set<Block*, BySize> free;
  // Small blocks that were just freed, by size, last one first: most programs ask for the same
  // size again at once, and then nothing is searched, merged or split. They join `free` before
  // the pool grows.
  std::vector<Block*> bins;
  int64_t parked = 0;
};
struct PoolPair {
  explicit PoolPair(c10::MempoolId_t id) : id(id) {}
  PoolPair(const PoolPair&) = delete;
  const c10::MempoolId_t id;  // {0, 0}: the memory that everyone shares
  int uses = 0;               // of a private one; unused, its memory may be given back
  int segments = 0;
  Pool small{this, true}, large{this, false};
};

// The kinds of statistics that a pool counts towards: all together, and its own.
template <class F>
inline void each(const Pool& pool, F f) {
  f(static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE));
  f(static_cast<size_t>(pool.is_small ? c10::CachingAllocator::StatType::SMALL_POOL
                                      : c10::CachingAllocator::StatType::LARGE_POOL));
}

// Thread-safe.
class DeviceCache {
 public:
  explicit DeviceCache(c10::DeviceIndex index);

  Block* allocate(size_t bytes, c10::Stream stream);
  void free(Block* block);
  void record_stream(Block* block, c10::Stream stream);
  // Gives unused segments back: of one private pool, or for {0, 0} of the shared memory and all
  // private pools without use.
  void empty(c10::MempoolId_t pool);

  // See runtime/allocator.h.
  void begin_pool(c10::MempoolId_t id, std::function<bool(c10::Stream)> takes);
  void end_pool(c10::MempoolId_t id);
  void release_pool(c10::MempoolId_t id);
  int pool_uses(c10::MempoolId_t id);

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
  Block* take_parked(Pool& pool, size_t size, c10::Stream stream);
  void park(Block* block);
  void unpark(Pool& pool);
  void make_free(Block* block);
  void merge(Block* into, Block* neighbour);
  void count_inactive(const Block* block, bool enters);
  void process_events();
  void wait_for_others(Block* block);
  void count_segment(Pool& pool, int64_t bytes);
  PoolPair& pools_for(c10::Stream stream);
  void release_cached();
  void release_whole_segments(PoolPair& pools);
  void release_segment(Block* block);
  [[noreturn]] void raise_out_of_memory(size_t bytes);
  void note(Action action, const void* ptr, size_t size, c10::Stream stream, const Pool* pool,
            std::shared_ptr<c10::GatheredContext> context = nullptr);

  const c10::DeviceIndex index_;
  std::mutex mutex_;
  PoolPair shared_{{0, 0}};
  std::map<c10::MempoolId_t, PoolPair> private_;
  struct Route {
    c10::MempoolId_t pool;
    std::function<bool(c10::Stream)> takes;
  };
  std::vector<Route> routes_;     // begun and not ended
  std::vector<Block*> deferred_;  // freed during a capture while other streams may use them
  Block* active_ = nullptr;       // first of those allocated, or waiting for other streams
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
