// Where the blocks of a segment are kept: free in bins or in a set, merged with their neighbours,
// or active.
#include "runtime/device_cache.h"

namespace trn::runtime {

void DeviceCache::link_active(Block* block) {
  block->active_prev = nullptr;
  block->active_next = active_;
  if (active_) active_->active_prev = block;
  active_ = block;
}

void DeviceCache::unlink_active(Block* block) {
  (block->active_prev ? block->active_prev->active_next : active_) = block->active_next;
  if (block->active_next) block->active_next->active_prev = block->active_prev;
}

// A free block that is part of a segment is an inactive split.
void DeviceCache::count_inactive(const Block* block, bool enters) {
  if (!block->is_split()) return;
  each(*block->pool, [&](size_t i) {
    if (enters) {
      stats_.inactive_split[i].increase(1);
      stats_.inactive_split_bytes[i].increase(block->size);
    } else {
      stats_.inactive_split[i].decrease(1);
      stats_.inactive_split_bytes[i].decrease(block->size);
    }
  });
}

void DeviceCache::merge(Block* into, Block* neighbour) {
  if (!neighbour || neighbour->allocated || neighbour->waiting_for || neighbour->parked) return;
  count_inactive(neighbour, false);
  // Before sizes change: the set is ordered by size.
  into->pool->free.erase(neighbour);
  if (into->prev == neighbour) {
    into->ptr = neighbour->ptr;
    into->prev = neighbour->prev;
    if (into->prev) into->prev->next = into;
  } else {
    into->next = neighbour->next;
    if (into->next) into->next->prev = into;
  }
  into->size += neighbour->size;
  delete neighbour;
}

void DeviceCache::make_free(Block* block) {
  merge(block, block->prev);
  merge(block, block->next);
  block->pool->free.insert(block);
  count_inactive(block, true);
}

void DeviceCache::park(Block* block) {
  Pool& pool = *block->pool;
  if (pool.bins.empty()) pool.bins.resize(kSmallSize / kMinBlock + 1);
  Block*& bin = pool.bins[block->size / kMinBlock];
  block->parked = true;
  block->active_next = bin;
  bin = block;
  ++pool.parked;
  count_inactive(block, true);
}

Block* DeviceCache::take_parked(Pool& pool, size_t size, c10::Stream stream) {
  if (!pool.parked) return nullptr;
  Block*& bin = pool.bins[size / kMinBlock];
  Block* block = bin;
  if (!block || block->stream != stream) return nullptr;
  bin = block->active_next;
  block->parked = false;
  --pool.parked;
  count_inactive(block, false);
  return block;
}

void DeviceCache::unpark(Pool& pool) {
  for (Block*& bin : pool.bins)
    while (bin) {
      Block* block = bin;
      bin = block->active_next;
      block->parked = false;
      count_inactive(block, false);
      make_free(block);
    }
  pool.parked = 0;
}

}  // namespace trn::runtime
