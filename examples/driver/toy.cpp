// A driver outside of torch-trn's tree: the smallest that passes the conformance suite. Each queue
// is a thread that runs its packets one after another; memory is the process's own.
//
//   TRN_DRIVER=/path/to/libtoy.so python train.py
#include <torch_trn/driver/driver.h>

#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <thread>

namespace trn::driver {

// The header leaves the queue to the driver.
class Queue {
 public:
  virtual ~Queue() = default;
};

namespace {

struct ToyQueue final : Queue {
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<Packet> packets;
  uint64_t submitted = 0, done = 0;
  bool closed = false;
  Status fault;
  int32_t fault_site = 0;
  std::thread thread;

  void wait(uint64_t value) {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return done >= value; });
  }
};

ToyQueue& toy(Queue* q) { return *static_cast<ToyQueue*>(q); }

int64_t now() {
  using namespace std::chrono;
  return duration_cast<nanoseconds>(steady_clock::now().time_since_epoch()).count();
}

class ToyDevice final : public Device {
 public:
  Properties properties() const override {
    return {"toy device", "toy", kCapacity, 1, "portable", 0, 0, 0};
  }

  Result<void*> allocate(int64_t bytes) override {
    if (bytes <= 0) return Status(Code::invalid_argument, "allocation of no bytes");
    if (fault_due("allocate")) return Status(Code::out_of_memory, "injected fault");
    bytes = (bytes + 511) / 512 * 512;
    std::lock_guard lock(mutex_);
    void* p = used_ + bytes > kCapacity ? nullptr : std::aligned_alloc(512, bytes);
    if (!p) return Status(Code::out_of_memory, "the toy device is full");
    used_ += bytes;
    blocks_[static_cast<char*>(p)] = bytes;
    ++counters_.allocations;
    return p;
  }
  Status release(void* p) override {
    std::lock_guard lock(mutex_);
    const auto at = blocks_.find(static_cast<char*>(p));
    if (at == blocks_.end()) return Status(Code::invalid_argument, "not an allocation");
    used_ -= at->second;
    blocks_.erase(at);
    ++counters_.releases;
    std::free(p);
    return Status();
  }
  MemoryInfo memory() const override {
    std::lock_guard lock(mutex_);
    return {kCapacity - used_, kCapacity};
  }
  bool owns(const void* p) const override {
    std::lock_guard lock(mutex_);
    auto at = blocks_.upper_bound(static_cast<char*>(const_cast<void*>(p)));
    if (at == blocks_.begin()) return false;
    --at;
    return static_cast<const char*>(p) < at->first + at->second;
  }

  Queue* create_queue(int) override {
    auto* q = new ToyQueue;
    q->thread = std::thread([this, q] { serve(*q); });
    return q;
  }
  void destroy_queue(Queue* queue) override {
    ToyQueue& q = toy(queue);
    {
      std::lock_guard lock(q.mutex);
      q.closed = true;
      q.changed.notify_all();
    }
    q.thread.join();
    delete &q;
  }
  uint64_t submit(Queue* queue, const Packet& packet) override {
    ToyQueue& q = toy(queue);
    if (packet.stamp) packet.stamp->retain();
    std::lock_guard lock(q.mutex);
    if (fault_due("submit")) set_fault(q, Status(Code::device_assert, "injected fault"), 0);
    q.packets.push_back(packet);
    q.changed.notify_all();
    return ++q.submitted;
  }
  bool reached(Queue* queue, uint64_t value) const override {
    std::lock_guard lock(toy(queue).mutex);
    return toy(queue).done >= value;
  }
  uint64_t submitted(Queue* queue) const override {
    std::lock_guard lock(toy(queue).mutex);
    return toy(queue).submitted;
  }
  void wait(Queue* queue, uint64_t value) override { toy(queue).wait(value); }
  Status take_fault(Queue* queue, int32_t* site) override {
    std::lock_guard lock(toy(queue).mutex);
    if (site) *site = toy(queue).fault_site;
    return std::exchange(toy(queue).fault, Status());
  }
  Counters counters() const override {
    std::lock_guard lock(mutex_);
    return counters_;
  }

 private:
  static constexpr int64_t kCapacity = int64_t{1} << 30;

  static void set_fault(ToyQueue& q, Status status, int32_t site) {
    if (!q.fault.ok()) return;  // the first one counts
    q.fault = std::move(status);
    q.fault_site = site;
  }

  void serve(ToyQueue& q) {
    for (;;) {
      std::unique_lock lock(q.mutex);
      q.changed.wait(lock, [&] { return !q.packets.empty() || q.closed; });
      if (q.packets.empty()) return;
      const Packet packet = q.packets.front();
      q.packets.pop_front();
      lock.unlock();
      execute(q, packet);
      lock.lock();
      ++q.done;
      q.changed.notify_all();
    }
  }

  void execute(ToyQueue& q, const Packet& p) {
    switch (p.kind) {
      case PacketKind::kernel: return run(q, p);
      case PacketKind::copy: std::memcpy(p.dst, p.src, p.bytes); return count_copy(p.bytes);
      case PacketKind::upload: std::memcpy(p.dst, &p.call, p.bytes); return count_copy(p.bytes);
      case PacketKind::fill: std::memset(p.dst, static_cast<int>(p.value), p.bytes); return;
      case PacketKind::wait: return toy(p.other).wait(p.value);
      case PacketKind::stamp:
        p.stamp->ns.store(now());
        p.stamp->release();
        return;
    }
  }

  void run(ToyQueue& q, const Packet& p) {
    alignas(64) static thread_local char scratch[kScratchBytes];
    Fault fault;
    p.call.kernel->run(p.call, Range{0, p.call.work, scratch, &fault});
    {
      std::lock_guard lock(mutex_);
      ++counters_.kernels;
    }
    if (!fault.kind.load()) return;
    std::lock_guard lock(q.mutex);
    const std::string what =
        static_cast<FaultKind>(fault.kind.load()) == FaultKind::index_out_of_range
            ? "index " + std::to_string(fault.index) + " is out of bounds for size " +
                  std::to_string(fault.size)
            : "assertion failed";
    set_fault(q, Status(Code::device_assert, what + ", in " + describe(p)), p.call.site);
  }

  void count_copy(int64_t bytes) {
    std::lock_guard lock(mutex_);
    ++counters_.copies;
    counters_.bytes_copied += bytes;
  }

  mutable std::mutex mutex_;
  std::map<char*, int64_t> blocks_;
  int64_t used_ = 0;
  Counters counters_;
};

Result<std::vector<std::unique_ptr<Device>>> open_toy() {
  std::vector<std::unique_ptr<Device>> devices;
  for (int i = 0; i < 2; ++i) devices.push_back(std::make_unique<ToyDevice>());
  return devices;
}
TRN_DRIVER(toy, open_toy);

}  // namespace
}  // namespace trn::driver
