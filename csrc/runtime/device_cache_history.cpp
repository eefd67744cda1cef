// What the cache tells about itself: statistics reset, snapshots, and the history of its actions.
#include <c10/util/ApproximateClock.h>

#include <algorithm>

#include "runtime/device_cache.h"

namespace trn::runtime {

using c10::CachingDeviceAllocator::BlockInfo;
using c10::CachingDeviceAllocator::SegmentInfo;
using c10::CachingDeviceAllocator::TraceEntry;

namespace {

template <class Stats, class One, class Many>
void for_all(Stats& s, One one, Many many) {
  for (auto* array :
       {&s.allocation, &s.segment, &s.active, &s.inactive_split, &s.allocated_bytes,
        &s.reserved_bytes, &s.active_bytes, &s.inactive_split_bytes, &s.requested_bytes})
    for (auto& stat : *array) many(stat);
  one(s.oversize_allocations);
  one(s.oversize_segments);
}

// It needs two readings some time apart: one when recording starts, one at each conversion.
c10::ApproximateClockToUnixTimeConverter& clock_since_start() {
  static c10::ApproximateClockToUnixTimeConverter clock;
  return clock;
}

void* handle(c10::Stream s) { return reinterpret_cast<void*>(s.id()); }

}  // namespace

void DeviceCache::reset_accumulated() {
  std::lock_guard lock(mutex_);
  const auto reset = [](auto& stat) { stat.reset_accumulated(); };
  for_all(stats_, reset, reset);
  stats_.num_alloc_retries = stats_.num_ooms = stats_.num_sync_all_streams = 0;
  stats_.num_device_alloc = stats_.num_device_free = 0;
}

void DeviceCache::reset_peaks() {
  std::lock_guard lock(mutex_);
  const auto reset = [](auto& stat) { stat.reset_peak(); };
  for_all(stats_, reset, reset);
}

void DeviceCache::note(Action action, const void* ptr, size_t size, c10::Stream stream,
                       const Pool* pool, std::shared_ptr<c10::GatheredContext> context) {
  if (C10_LIKELY(!history_)) return;
  entries_.emplace_back(action, index_, reinterpret_cast<size_t>(ptr), size, handle(stream),
                        pool ? pool->pair->id : shared_.id, c10::getApproximateTime(),
                        std::move(context));
  while (entries_.size() > max_entries_) entries_.pop_front();
}

std::vector<TraceEntry> DeviceCache::trace() {
  std::lock_guard lock(mutex_);
  std::vector<TraceEntry> out(entries_.begin(), entries_.end());
  const auto to_unix = clock_since_start().makeConverter();
  for (TraceEntry& e : out) e.time_.t_ = to_unix(e.time_.approx_t_) / 1000;
  return out;
}

void DeviceCache::record_history(bool enabled, c10::CachingDeviceAllocator::CreateContextFn gather,
                                 size_t max_entries) {
  clock_since_start();
  std::lock_guard lock(mutex_);
  history_ = enabled;
  gather_ = gather;
  max_entries_ = max_entries;
  if (!enabled) entries_.clear();
}

void DeviceCache::snapshot(std::vector<SegmentInfo>& segments) {
  std::lock_guard lock(mutex_);
  std::vector<Block*> heads;
  const auto add = [&](Block* b) {
    if (!b->prev) heads.push_back(b);
  };
  for (Block* b = active_; b; b = b->active_next) add(b);
  const auto add_free = [&](PoolPair& pools) {
    for (Pool* pool : {&pools.small, &pools.large}) {
      unpark(*pool);
      for (Block* b : pool->free) add(b);
    }
  };
  add_free(shared_);
  for (auto& [id, pools] : private_) add_free(pools);
  std::sort(heads.begin(), heads.end(), [](Block* a, Block* b) { return a->ptr < b->ptr; });
  for (const Block* head : heads) {
    SegmentInfo& segment = segments.emplace_back();
    segment.device = index_;
    segment.address = reinterpret_cast<size_t>(head->ptr);
    segment.stream = handle(head->stream);
    segment.is_large = !head->pool->is_small;
    segment.owner_private_pool_id = head->pool->pair->id;
    for (const Block* b = head; b; b = b->next) {
      BlockInfo& info = segment.blocks.emplace_back();
      info.size = b->size;
      info.requested_size = b->requested;
      info.allocated = b->allocated;
      info.active = b->allocated || b->waiting_for > 0;
      info.context_when_allocated = b->context;
      segment.total_size += b->size;
      if (info.allocated) segment.allocated_size += b->size;
      if (info.active) {
        segment.active_size += b->size;
        segment.requested_size += b->requested;
      }
    }
  }
}

}  // namespace trn::runtime
