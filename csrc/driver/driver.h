// A driver: the device as hardware shows it. Memory, in-order queues, timelines; nothing of torch.
//
// Every queue is a timeline: packets complete in order, and the count of completed packets is a
// value that only grows. Events, stream order, synchronisation and timing are all such values.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "base/status.h"
#include "kernel.h"

namespace trn::driver {

class Queue;  // opaque; a driver derives its own

enum class PacketKind : int32_t {
  kernel,  // run `call`
  copy,    // move `bytes` from `src` to `dst`; `direction` says which side is the device's
  upload,  // copy the first `bytes` of `call` (at most kInlineBytes) to device memory `dst`
  fill,    // set `bytes` at `dst` to the low byte of `value`
  wait,    // hold this queue until `other` has reached `value`, submitted or yet to be
  stamp,   // store the time of completion in `stamp`
};
enum class Direction : int32_t { host_to_device, device_to_host, device_to_device };

// When a stamp packet completed, in nanoseconds of a monotonic clock. Counted: the holder and a
// queued packet each own one reference.
struct Stamp {
  std::atomic<int64_t> ns{0};
  std::atomic<int32_t> refs{1};
  void retain() { refs.fetch_add(1, std::memory_order_relaxed); }
  void release() {
    if (refs.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }
};

// One piece of queued work; plain data. `call` comes last: a submit copies only the used part.
struct Packet {
  PacketKind kind;
  Direction direction;
  void* dst;
  const void* src;
  int64_t bytes;
  uint64_t value;
  Queue* other;
  Stamp* stamp;
  Call call;
};
static_assert(std::is_trivially_copyable_v<Packet>);
inline constexpr int64_t kInlineBytes = 1024;

struct Properties {
  std::string name;                      // what device_name() says; never a chip that is not there
  std::string driver;                    // "host", "null", ...
  int64_t total_memory;                  // bytes a device can hand out
  int compute_threads;                   // threads that run one kernel together
  std::string isa;                       // highest instruction set in use
  int64_t l1_bytes, l2_bytes, l3_bytes;  // caches of one core, l3 of all
};
struct MemoryInfo {
  int64_t free, total;  // bytes
};
// Device memory that other processes can map too, and the descriptor that says which; the caller
// closes it.
struct SharedMemory {
  void* ptr = nullptr;
  int fd = -1;
};
struct Counters {
  uint64_t kernels = 0, copies = 0, bytes_copied = 0;  // completed since the start
  uint64_t allocations = 0, releases = 0;              // calls to allocate and release
};

// One device. Thread-safe. Pointers that allocate() returns mean something only to this driver:
// code above never dereferences them.
class Device {
 public:
  virtual ~Device() = default;
  virtual Properties properties() const = 0;

  // Device memory, aligned to 512 bytes. out_of_memory when it does not fit; bytes > 0.
  virtual Result<void*> allocate(int64_t bytes) = 0;
  // Gives memory back. No queued packet may still use it.
  virtual Status release(void* ptr) = 0;
  // Memory to share with a device of this driver in another process, which opens the descriptor
  // with the same size; each side releases its own. unavailable where a driver cannot.
  virtual Result<SharedMemory> allocate_shared(int64_t) {
    return Status(Code::unavailable, "the driver shares no memory between processes");
  }
  virtual Result<void*> open_shared(int /*fd*/, int64_t /*bytes*/) {
    return Status(Code::unavailable, "the driver shares no memory between processes");
  }
  virtual MemoryInfo memory() const = 0;
  // Whether ptr lies in memory of this device.
  virtual bool owns(const void* ptr) const = 0;

  // A queue; a lower number is a higher priority, 0 is normal, as CUDA's.
  virtual Queue* create_queue(int priority) = 0;
  // Waits for the queue's work, then frees it.
  virtual void destroy_queue(Queue* queue) = 0;

  // Queues a packet and returns the timeline value the queue has once it is done. Blocks only
  // while the queue's ring is full. A packet behind a fault is still executed: the queue goes on.
  virtual uint64_t submit(Queue* queue, const Packet& packet) = 0;
  // Whether the queue has completed `value` packets.
  virtual bool reached(Queue* queue, uint64_t value) const = 0;
  // The value the queue has when all that is submitted now is done.
  virtual uint64_t submitted(Queue* queue) const = 0;
  // Blocks until `value` is reached.
  virtual void wait(Queue* queue, uint64_t value) = 0;
  // The first fault since the last call, with the kernel's name, its operands' shapes and its
  // site in `site`; ok if none. Taking it clears it.
  virtual Status take_fault(Queue* queue, int32_t* site) = 0;

  virtual Counters counters() const = 0;
};

// Makes the n-th call from now of `what` ("allocate" or "submit") fail as real hardware would:
// out_of_memory, or a device_assert fault on the queue. n == 0 takes the order back.
void inject_fault(const std::string& what, int64_t n);
// Whether a driver should fail this call; counts down. For drivers.
bool fault_due(const char* what);

// Whether this process is the child of a fork that happened after the devices were opened: their
// threads and memory belong to the parent. For drivers.
bool in_forked_child();

// Threads that compute together, the queue's own included; 1 to the number of cores by default.
void set_compute_threads(int threads);
int compute_threads();

// A driver's factory: opens all its devices, or says why there are none.
using Open = Result<std::vector<std::unique_ptr<Device>>> (*)();
bool register_driver(const char* name, Open open);

// The devices of the driver that TRN_DRIVER names, opened at the first call; never destroyed.
// On failure empty, and `why` (if given) says the reason.
const std::vector<Device*>& devices(Status* why = nullptr);
// Opens a further instance of a driver by name, for tests.
Result<std::vector<std::unique_ptr<Device>>> open_driver(const std::string& name);

// One line of CSV of a packet: kind, kernel, operands with shapes and types, scalars.
std::string describe(const Packet& packet);

}  // namespace trn::driver

#define TRN_DRIVER(name, open) \
  [[maybe_unused]] static const bool driver_##name = ::trn::driver::register_driver(#name, open)
