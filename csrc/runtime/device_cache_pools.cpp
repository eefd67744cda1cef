// Private pools, and giving segments back: of the shared memory and of pools that nobody uses.
#include <c10/util/Exception.h>

#include <algorithm>

#include "base/wait.h"
#include "runtime/device_cache.h"

namespace trn::runtime {
namespace {

// Queued work may still use cached memory. A graph's memory is used on any stream it is replayed
// on, so for a private pool all streams count.
void wait_for_users(driver::Device& d, const Block& block) {
  const WaitKeepingLocks keeping;  // the cache's is held
  if (block.pool->pair->id != c10::MempoolId_t{0, 0}) return wait_for_queues(block.device);
  driver::Queue* queue = queue_of(block.stream);
  d.wait(queue, d.submitted(queue));
}

}  // namespace

PoolPair& DeviceCache::pools_for(c10::Stream stream) {
  for (const Route& route : routes_)
    if (route.takes(stream)) return private_.at(route.pool);
  return shared_;
}

void DeviceCache::begin_pool(c10::MempoolId_t id, std::function<bool(c10::Stream)> takes) {
  std::lock_guard lock(mutex_);
  ++private_.try_emplace(id, id).first->second.uses;
  TORCH_CHECK(
      std::none_of(routes_.begin(), routes_.end(), [&](const Route& r) { return r.pool == id; }),
      "beginAllocateToPool: already recording to mempool_id");
  routes_.push_back({id, std::move(takes)});
}

void DeviceCache::end_pool(c10::MempoolId_t id) {
  std::lock_guard lock(mutex_);
  const auto at =
      std::find_if(routes_.begin(), routes_.end(), [&](const Route& r) { return r.pool == id; });
  TORCH_CHECK(at != routes_.end(), "endAllocatePool: not currently recording to mempool_id");
  routes_.erase(at);
}

void DeviceCache::release_pool(c10::MempoolId_t id) {
  std::lock_guard lock(mutex_);
  const auto at = private_.find(id);
  TORCH_CHECK(at != private_.end() && at->second.uses > 0, "release of a pool that nobody uses");
  if (--at->second.uses == 0 && at->second.segments == 0) private_.erase(at);
}

int DeviceCache::pool_uses(c10::MempoolId_t id) {
  std::lock_guard lock(mutex_);
  const auto at = private_.find(id);
  return at == private_.end() ? 0 : at->second.uses;
}

// Counts a segment taken (bytes > 0) or given back.
void DeviceCache::count_segment(Pool& pool, int64_t bytes) {
  each(pool, [&](size_t i) {
    if (bytes > 0) {
      stats_.segment[i].increase(1);
      stats_.reserved_bytes[i].increase(bytes);
    } else {
      stats_.segment[i].decrease(1);
      stats_.reserved_bytes[i].decrease(-bytes);
    }
  });
  pool.pair->segments += bytes > 0 ? 1 : -1;
  if (pool.pair == &shared_) return;
  auto& mine = stats_.reserved_bytes_by_private_pools[pool.pair->id];
  each(pool, [&](size_t i) { bytes > 0 ? mine[i].increase(bytes) : mine[i].decrease(-bytes); });
}

void DeviceCache::release_whole_segments(PoolPair& pools) {
  driver::Device& d = device(index_);
  for (Pool* pool : {&pools.small, &pools.large}) {
    unpark(*pool);
    std::vector<Block*> whole;
    for (Block* b : pool->free)
      if (!b->is_split()) whole.push_back(b);
    for (Block* b : whole) {
      wait_for_users(d, *b);
      release_segment(b);
    }
  }
}

// This waits for queued work: it is the path of last resort, and of empty_cache().
void DeviceCache::release_cached() {
  for (auto& p : pending_) device(p.event.device).wait(p.event.queue, p.event.value);
  ++stats_.num_sync_all_streams;
  process_events();
  release_whole_segments(shared_);
  for (auto at = private_.begin(); at != private_.end();) {
    PoolPair& pools = (at++)->second;
    if (pools.uses) continue;
    release_whole_segments(pools);
    if (pools.segments == 0) private_.erase(c10::MempoolId_t(pools.id));
  }
}

void DeviceCache::empty(c10::MempoolId_t pool) {
  std::lock_guard lock(mutex_);
  if (pool == c10::MempoolId_t{0, 0}) return release_cached();
  process_events();
  const auto at = private_.find(pool);
  if (at != private_.end()) release_whole_segments(at->second);
}

}  // namespace trn::runtime
