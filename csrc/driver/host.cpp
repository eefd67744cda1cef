// The default driver: an accelerator made of the host's cores.
//
// Each queue is a thread that runs packets in order, as a stream processor does; kernels spread
// over the pool of compute threads. Memory is a range of addresses of its own.
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <thread>

#include "base/option.h"
#include "driver/memory.h"
#include "driver/pool.h"
#include "driver/queue.h"
#include "processor.h"

namespace trn::driver {
namespace {

int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

std::string processor_name() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);)
    if (line.rfind("model name", 0) == 0) return line.substr(line.find(':') + 2);
  return "host processor";
}

struct HostQueue : Queue {
  using Queue::Queue;
  std::thread thread;
  std::once_flag started;
};

std::string fault_text(const Fault& fault) {
  switch (static_cast<FaultKind>(fault.kind.load())) {
    case FaultKind::index_out_of_range:
      return "index " + std::to_string(fault.index) + " is out of bounds for size " +
             std::to_string(fault.size);
    case FaultKind::bad_probability:
      return "probability tensor contains either `inf`, `nan` or element < 0";
    default: return "assertion failed";
  }
}

class HostDevice final : public Device {
 public:
  HostDevice(int index, int64_t capacity, bool isolate)
      : memory_(capacity, isolate, "trn:" + std::to_string(index)) {}

  Properties properties() const override {
    return {"torch-trn host driver (" + processor_name() + ")",
            "host",
            memory_.info().total,
            compute_threads(),
            isa_name(active_isa()),
            caches().l1,
            caches().l2,
            caches().l3};
  }

  Result<void*> allocate(int64_t bytes) override {
    if (in_forked_child()) return of_the_parent();
    if (fault_due("allocate")) return Status(Code::out_of_memory, "injected fault");
    auto result = memory_.allocate(bytes);
    if (result.ok()) allocations_.fetch_add(1, std::memory_order_relaxed);
    return result;
  }
  Result<SharedMemory> allocate_shared(int64_t bytes) override {
    if (in_forked_child()) return of_the_parent();
    return memory_.allocate_shared(bytes);
  }
  Result<void*> open_shared(int fd, int64_t bytes) override {
    if (in_forked_child()) return of_the_parent();
    return memory_.open_shared(fd, bytes);
  }
  Status release(void* ptr) override {
    if (in_forked_child()) return Status();  // the child's copy goes with the child
    releases_.fetch_add(1, std::memory_order_relaxed);
    return memory_.release(ptr);
  }
  MemoryInfo memory() const override { return memory_.info(); }
  bool owns(const void* ptr) const override { return memory_.owns(ptr); }

  Queue* create_queue(int priority) override { return new HostQueue(priority); }

  void destroy_queue(Queue* queue) override {
    auto* q = static_cast<HostQueue*>(queue);
    q->close();
    if (q->thread.joinable()) q->thread.join();
    delete q;
  }

  uint64_t submit(Queue* queue, const Packet& packet) override {
    auto* q = static_cast<HostQueue*>(queue);
    // The child of a fork has none of these threads; upper layers refuse before they come here.
    if (in_forked_child()) return 0;
    std::call_once(q->started, [&] { q->thread = std::thread([this, q] { serve(*q); }); });
    if (packet.stamp) packet.stamp->retain();
    if (fault_due("submit")) q->set_fault(Status(Code::device_assert, "injected fault"), 0);
    return q->push(packet);
  }
  bool reached(Queue* queue, uint64_t value) const override { return queue->reached(value); }
  uint64_t submitted(Queue* queue) const override { return queue->submitted(); }
  void wait(Queue* queue, uint64_t value) override {
    if (!in_forked_child()) queue->wait(value);
  }
  Status take_fault(Queue* queue, int32_t* site) override { return queue->take_fault(site); }

  Counters counters() const override {
    Counters c;
    c.kernels = kernels_.load();
    c.copies = copies_.load();
    c.bytes_copied = bytes_copied_.load();
    c.allocations = allocations_.load();
    c.releases = releases_.load();
    return c;
  }

 private:
  static Status of_the_parent() {
    return Status(Code::unavailable, "the device belongs to the parent");
  }

  void serve(HostQueue& q) {
    // A queue of higher priority gets its thread scheduled first where the system allows it.
    if (q.priority) setpriority(PRIO_PROCESS, syscall(SYS_gettid), q.priority);
    while (Packet* packet = q.front()) {
      execute(q, *packet);
      q.pop();
    }
  }

  void execute(HostQueue& q, Packet& p) {
    switch (p.kind) {
      case PacketKind::kernel: return launch(q, p);
      case PacketKind::copy:
        run_copy(reach(p.dst), reach(p.src), p.bytes);
        copies_.fetch_add(1, std::memory_order_relaxed);
        bytes_copied_.fetch_add(p.bytes, std::memory_order_relaxed);
        return;
      case PacketKind::upload: {
        std::memcpy(reach(p.dst), &p.call, p.bytes);
        copies_.fetch_add(1, std::memory_order_relaxed);
        bytes_copied_.fetch_add(p.bytes, std::memory_order_relaxed);
        return;
      }
      case PacketKind::fill: return run_fill(reach(p.dst), static_cast<int>(p.value), p.bytes);
      case PacketKind::wait: return p.other->wait(p.value);
      case PacketKind::stamp:
        p.stamp->ns.store(now_ns(), std::memory_order_release);
        p.stamp->release();
        return;
    }
  }

  void launch(HostQueue& q, Packet& p) {
    Call& call = p.call;
    Fault fault;
    if (memory_.isolated()) {
      // Only the driver may touch device memory: kernels see it through the private mapping.
      for (int i = 0; i < call.noperands; ++i) call.operand[i].data = reach(call.operand[i].data);
    }
    run_kernel(call, &fault);
    kernels_.fetch_add(1, std::memory_order_relaxed);
    if (fault.kind.load(std::memory_order_acquire))
      q.set_fault(Status(Code::device_assert, fault_text(fault) + ", in " + describe(p)),
                  call.site);
  }

  // The address by which this process may touch what p names, on any device.
  template <class T>
  T* reach(T* p) const;

  Memory memory_;
  std::atomic<uint64_t> kernels_{0}, copies_{0}, bytes_copied_{0}, allocations_{0}, releases_{0};

  friend Result<std::vector<std::unique_ptr<Device>>> open_host();
  std::shared_ptr<std::vector<const Memory*>> all_;  // memories of all devices of one opening
};

template <class T>
T* HostDevice::reach(T* p) const {
  if (memory_.owns(p)) return memory_.alias(p);
  if (memory_.isolated())
    for (const Memory* m : *all_)
      if (m->owns(p)) return m->alias(p);
  return p;
}

Result<std::vector<std::unique_ptr<Device>>> open_host() {
  const Options& o = options();
  // By default all devices together may fill half of the machine, as if each had its own share.
  const int64_t physical = static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE);
  const int64_t capacity = o.memory ? o.memory : physical / 2;
  auto all = std::make_shared<std::vector<const Memory*>>();
  std::vector<std::unique_ptr<Device>> devices;
  for (int i = 0; i < o.devices; ++i) {
    auto device = std::make_unique<HostDevice>(i, capacity, o.has_strict("isolate"));
    if (device->memory_.info().total == 0)
      return Status(Code::unavailable, "cannot reserve " + std::to_string(capacity) +
                                           " bytes of addresses for trn:" + std::to_string(i));
    all->push_back(&device->memory_);
    device->all_ = all;
    devices.push_back(std::move(device));
  }
  return devices;
}

TRN_DRIVER(host, open_host);

}  // namespace
}  // namespace trn::driver
