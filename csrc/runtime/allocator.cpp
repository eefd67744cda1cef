// The registered allocator: one cache a device.
#include "runtime/allocator.h"

#include <c10/util/Exception.h>

#include <array>
#include <atomic>
#include <memory>
#include <mutex>

#include "base/spoken.h"
#include "driver/driver.h"
#include "runtime/device_cache.h"
#include "runtime/strict.h"

namespace trn::runtime {
namespace {

std::atomic<bool> history{false};

std::array<std::atomic<DeviceCache*>, 128> caches{};  // by every c10::DeviceIndex

DeviceCache& open_cache(c10::DeviceIndex index) {
  static auto* mutex = new std::mutex;
  TORCH_CHECK(index < device_count(), "Invalid device argument ", static_cast<int>(index),
              ": did you call init?");
  std::lock_guard lock(*mutex);
  if (!caches[index].load()) caches[index].store(new DeviceCache(index));
  return *caches[index].load();
}

DeviceCache& cache_of(c10::DeviceIndex index) {
  if (index < 0) index = current_device();
  DeviceCache* cache = caches[index].load(std::memory_order_acquire);
  return C10_LIKELY(cache != nullptr) ? *cache : open_cache(index);
}

void report(void* ptr, int64_t bytes, c10::DeviceIndex index) {
  const auto stats = cache_of(index).stats();
  c10::reportMemoryUsageToProfiler(ptr, bytes, stats.allocated_bytes[0].current,
                                   stats.reserved_bytes[0].current,
                                   c10::Device(c10::kPrivateUse1, index));
}

struct Observers {
  std::mutex mutex;
  std::vector<OutOfMemoryObserver> all;
};
Observers& observers() {
  static auto* o = new Observers;
  return *o;
}

void tell_observers(c10::DeviceIndex index, size_t bytes) {
  std::unique_lock lock(observers().mutex);
  const std::vector<OutOfMemoryObserver> all = observers().all;
  lock.unlock();  // an observer may allocate, or take another lock first
  const driver::MemoryInfo info = device(index).memory();
  for (const OutOfMemoryObserver& tell : all)
    tell(index, static_cast<int64_t>(bytes), static_cast<int64_t>(info.total),
         static_cast<int64_t>(info.free));
}

Block* allocate_block(c10::DeviceIndex index, size_t bytes, c10::Stream stream) {
  try {
    return cache_of(index).allocate(bytes, stream);
  } catch (const c10::OutOfMemoryError&) {
    tell_observers(index, bytes);
    throw;
  }
}

void free_block(void* context) {
  auto* block = static_cast<Block*>(context);
  if (!block || driver::in_forked_child()) return;  // a child's copy of the parent's tensors
  const c10::DeviceIndex index = block->device;
  void* ptr = block->ptr;
  const int64_t bytes = static_cast<int64_t>(block->size);
  if (C10_UNLIKELY(strict::enabled())) strict::freed(ptr);
  cache_of(index).free(block);
  if (C10_UNLIKELY(c10::memoryProfilingEnabled())) report(ptr, -bytes, index);
}

class CachingAllocator final : public c10::DeviceAllocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    const c10::DeviceIndex index = current_device();
    const c10::Device where(c10::kPrivateUse1, index);
    device(index);  // raises for a missing device or a forked child
    if (bytes == 0) return {nullptr, nullptr, &free_block, where};
    constexpr size_t kTooMuch = 1ull << 60;
    TORCH_CHECK_WITH(OutOfMemoryError, bytes < kTooMuch, spoken_platform(),
                     " out of memory. Tried to allocate more than 1EB memory.");
    const c10::Stream stream = current_stream(index);
    Block* block = allocate_block(index, bytes, stream);
    if (C10_UNLIKELY(strict::enabled()))
      strict::allocated(block->ptr, static_cast<int64_t>(bytes), stream);
    if (C10_UNLIKELY(c10::memoryProfilingEnabled()))
      report(block->ptr, static_cast<int64_t>(block->size), index);
    return {block->ptr, block, &free_block, where};
  }
  // No raw deleter: the context of a pointer is its block, so that freeing looks nothing up.
  c10::DeleterFnPtr raw_deleter() const override { return nullptr; }

  void copy_data(void* dst, const void* src, size_t bytes) const override {
    driver::Packet packet;
    packet.kind = driver::PacketKind::copy;
    packet.direction = driver::Direction::device_to_device;
    packet.dst = dst;
    packet.src = src;
    packet.bytes = static_cast<int64_t>(bytes);
    packet.stamp = nullptr;
    submit(device_of_pointer(dst), packet);
  }

  bool initialized() override { return is_initialized(); }
  void emptyCache(c10::MempoolId_t pool) override {
    if (!is_initialized()) return;
    for (c10::DeviceIndex i = 0; i < device_count(); ++i) cache_of(i).empty(pool);
  }
  void recordStream(const c10::DataPtr& ptr, c10::Stream stream) override {
    if (ptr.get_deleter() != &free_block || !ptr.get_context()) return;  // not our memory
    auto* block = static_cast<Block*>(ptr.get_context());
    cache_of(block->device).record_stream(block, stream);
  }
  c10::CachingDeviceAllocator::DeviceStats getDeviceStats(c10::DeviceIndex i) override {
    return cache_of(i).stats();
  }
  void resetAccumulatedStats(c10::DeviceIndex i) override { cache_of(i).reset_accumulated(); }
  void resetPeakStats(c10::DeviceIndex i) override { cache_of(i).reset_peaks(); }
  std::pair<size_t, size_t> getMemoryInfo(c10::DeviceIndex i) override {
    const driver::MemoryInfo info = device(i).memory();
    return {static_cast<size_t>(info.free), static_cast<size_t>(info.total)};
  }
};

CachingAllocator& instance() {
  static auto* a = new CachingAllocator;
  return *a;
}
REGISTER_ALLOCATOR(c10::kPrivateUse1, &instance());

}  // namespace

c10::DeviceAllocator* allocator() { return &instance(); }

void set_memory_fraction(double fraction, c10::DeviceIndex device) {
  TORCH_CHECK_VALUE(fraction >= 0 && fraction <= 1, "Invalid fraction value: ", fraction,
                    ". Allowed range: 0~1");
  cache_of(device).set_fraction(fraction);
}
double memory_fraction(c10::DeviceIndex device) { return cache_of(device).fraction(); }

c10::MempoolId_t new_pool_id() {
  static std::atomic<uint64_t> last{0};
  return {0, ++last};
}
void begin_pool(c10::DeviceIndex device, c10::MempoolId_t pool,
                std::function<bool(c10::Stream)> takes) {
  cache_of(device).begin_pool(pool, std::move(takes));
}
void end_pool(c10::DeviceIndex device, c10::MempoolId_t pool) { cache_of(device).end_pool(pool); }
void release_pool(c10::DeviceIndex device, c10::MempoolId_t pool) {
  cache_of(device).release_pool(pool);
}
int pool_uses(c10::DeviceIndex device, c10::MempoolId_t pool) {
  return cache_of(device).pool_uses(pool);
}

Snapshot memory_snapshot() {
  Snapshot s;
  for (c10::DeviceIndex i = 0; i < device_count(); ++i) {
    if (is_initialized()) cache_of(i).snapshot(s.segments);
    s.traces.push_back(is_initialized() ? cache_of(i).trace() : decltype(cache_of(i).trace()){});
  }
  return s;
}

void record_memory_history(bool enabled, c10::CachingDeviceAllocator::CreateContextFn gather,
                           size_t max_entries) {
  history.store(enabled);
  for (c10::DeviceIndex i = 0; i < device_count(); ++i)
    cache_of(i).record_history(enabled, gather, max_entries);
}
bool is_memory_history_enabled() { return history.load(); }

void attach_out_of_memory_observer(OutOfMemoryObserver observer) {
  std::lock_guard lock(observers().mutex);
  observers().all.push_back(std::move(observer));
}

}  // namespace trn::runtime
