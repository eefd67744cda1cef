// The null driver: accepts everything, computes nothing. Memory is accounted as the host driver's,
// timelines move at once. For measuring what the layers above cost, and to copy for a new driver.
#include <unistd.h>

#include "base/option.h"
#include "driver/memory.h"
#include "driver/queue.h"

namespace trn::driver {
namespace {

class NullDevice final : public Device {
 public:
  NullDevice(int index, int64_t capacity)
      : memory_(capacity, /*isolate=*/false, "trn:" + std::to_string(index)) {}

  Properties properties() const override {
    return {
        "torch-trn null driver", "null", memory_.info().total, 1, isa_name(active_isa()), 0, 0, 0};
  }
  Result<void*> allocate(int64_t bytes) override {
    if (fault_due("allocate")) return Status(Code::out_of_memory, "injected fault");
    auto result = memory_.allocate(bytes);
    if (result.ok()) ++counters_allocations_;
    return result;
  }
  Status release(void* ptr) override {
    ++counters_releases_;
    return memory_.release(ptr);
  }
  MemoryInfo memory() const override { return memory_.info(); }
  bool owns(const void* ptr) const override { return memory_.owns(ptr); }

  Queue* create_queue(int priority) override { return new Queue(priority); }
  void destroy_queue(Queue* queue) override { delete queue; }

  uint64_t submit(Queue* queue, const Packet& packet) override {
    if (fault_due("submit")) queue->set_fault(Status(Code::device_assert, "injected fault"), 0);
    std::lock_guard lock(mutex_);  // one consumer at a time
    const uint64_t value = queue->push(packet);
    if (packet.kind == PacketKind::kernel) ++counters_kernels_;
    if (packet.kind == PacketKind::copy || packet.kind == PacketKind::upload) ++counters_copies_;
    if (packet.stamp) packet.stamp->ns.store(static_cast<int64_t>(++clock_));
    queue->front();
    queue->pop();
    return value;
  }
  bool reached(Queue* queue, uint64_t value) const override { return queue->reached(value); }
  uint64_t submitted(Queue* queue) const override { return queue->submitted(); }
  void wait(Queue* queue, uint64_t value) override { queue->wait(value); }
  Status take_fault(Queue* queue, int32_t* site) override { return queue->take_fault(site); }
  Counters counters() const override {
    Counters c;
    c.kernels = counters_kernels_;
    c.copies = counters_copies_;
    c.allocations = counters_allocations_;
    c.releases = counters_releases_;
    return c;
  }

 private:
  Memory memory_;
  std::mutex mutex_;
  std::atomic<uint64_t> clock_{0};  // a time that only counts stamps
  std::atomic<uint64_t> counters_kernels_{0}, counters_copies_{0}, counters_allocations_{0},
      counters_releases_{0};
};

Result<std::vector<std::unique_ptr<Device>>> open_null() {
  const int64_t capacity = options().memory ? options().memory : int64_t{16} << 30;
  std::vector<std::unique_ptr<Device>> devices;
  for (int i = 0; i < options().devices; ++i)
    devices.push_back(std::make_unique<NullDevice>(i, capacity));
  return devices;
}

TRN_DRIVER(null, open_null);

}  // namespace
}  // namespace trn::driver
