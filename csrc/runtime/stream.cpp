// Streams onto queues, events onto timelines, faults onto exceptions.
#include "runtime/stream.h"

#include <c10/util/Exception.h>

#include <array>
#include <cstdio>
#include <mutex>

#include "base/option.h"
#include "base/site.h"

namespace trn::runtime {
namespace {

constexpr int kMaxDevices = 64;
constexpr int kPriorities = 1 - kHighestPriority;
constexpr int kStreamsPerPool = 32;
constexpr int kStreams = 1 + kPriorities * kStreamsPerPool;

// StreamId 0 is the default stream; 1 + pool * 32 + index the others, pool = -priority.
struct DeviceStreams {
  std::array<std::atomic<driver::Queue*>, kStreams> queues{};
  std::array<std::atomic<uint32_t>, kPriorities> next{};
  std::mutex mutex;
};

DeviceStreams& streams_of(c10::DeviceIndex device) {
  static auto* all = new std::array<DeviceStreams, kMaxDevices>;
  return (*all)[device];
}

thread_local std::array<c10::StreamId, kMaxDevices> current{};

c10::DeviceIndex resolve(c10::DeviceIndex device) {
  return device < 0 ? current_device() : device;
}

c10::Stream make(c10::DeviceIndex device, c10::StreamId id) {
  return c10::Stream(c10::Stream::UNSAFE, c10::Device(c10::kPrivateUse1, device), id);
}

[[noreturn]] void raise(const Status& status, int32_t site) {
  const std::string line = site_text(site);
  throw c10::AcceleratorError(
      {__func__, __FILE__, static_cast<uint32_t>(__LINE__)}, /*code=*/710,
      "TRN error: device-side assert triggered: " + status.message() +
          (line.empty() ? std::string() : ", launched from " + line) +
          "\nThe error is reported at the next synchronisation, after the call that caused it.");
}

void throw_fault(driver::Device& device, driver::Queue* queue) {
  int32_t site = 0;
  const Status status = device.take_fault(queue, &site);
  if (!status.ok()) raise(status, site);
}

void log(const driver::Packet& packet) {
  static const bool exec = options().has_verbose("exec"), copy = options().has_verbose("copy");
  const bool kernel = packet.kind == driver::PacketKind::kernel;
  const bool moves = packet.kind == driver::PacketKind::copy ||
                     packet.kind == driver::PacketKind::upload ||
                     packet.kind == driver::PacketKind::fill;
  if ((kernel && exec) || (moves && copy))
    std::fprintf(stderr, "trn,%s\n", driver::describe(packet).c_str());
}

// The host is about to wait: for a stream, an event of one, or all of a device.
void log_sync(const char* what, c10::DeviceIndex device, c10::StreamId stream) {
  static const bool verbose = options().has_verbose("sync");
  if (C10_UNLIKELY(verbose))
    std::fprintf(stderr, "trn,sync,%s,%d,%lld\n", what, static_cast<int>(device),
                 static_cast<long long>(stream));
}

}  // namespace

c10::Stream default_stream(c10::DeviceIndex device) { return make(resolve(device), 0); }

c10::Stream stream_from_pool(c10::DeviceIndex device, int priority) {
  device = resolve(device);
  TORCH_CHECK(device < device_count(), "TRN error: invalid device ordinal (trn:",
              static_cast<int>(device), ")");
  const int pool = -std::min(0, std::max(priority, kHighestPriority));
  const uint32_t index = streams_of(device).next[pool].fetch_add(1) % kStreamsPerPool;
  return make(device, 1 + pool * kStreamsPerPool + index);
}

c10::Stream current_stream(c10::DeviceIndex device) {
  device = resolve(device);
  return make(device, current[device]);
}

c10::Stream exchange_stream(c10::Stream stream) {
  const c10::DeviceIndex device = resolve(stream.device_index());
  const c10::Stream before = make(device, current[device]);
  current[device] = stream.id();
  return before;
}

int stream_priority(c10::Stream stream) {
  return stream.id() == 0 ? 0 : -static_cast<int>((stream.id() - 1) / kStreamsPerPool);
}

driver::Queue* queue_of(c10::Stream stream) {
  const c10::DeviceIndex index = resolve(stream.device_index());
  TORCH_CHECK(stream.id() >= 0 && stream.id() < kStreams, "not a trn stream: id ", stream.id());
  DeviceStreams& streams = streams_of(index);
  auto& slot = streams.queues[stream.id()];
  if (driver::Queue* queue = slot.load(std::memory_order_acquire)) return queue;
  driver::Device& d = device(index);
  std::lock_guard lock(streams.mutex);
  driver::Queue* queue = slot.load(std::memory_order_acquire);
  if (!queue) {
    queue = d.create_queue(stream_priority(stream));
    slot.store(queue, std::memory_order_release);
  }
  return queue;
}

uint64_t submit(c10::Stream stream, const driver::Packet& packet) {
  static const bool verbose = !options().verbose.empty();
  if (C10_UNLIKELY(verbose)) log(packet);
  return device(stream.device_index()).submit(queue_of(stream), packet);
}

uint64_t submit(c10::DeviceIndex device, const driver::Packet& packet) {
  return submit(current_stream(device), packet);
}

bool query(c10::Stream stream) {
  driver::Device& d = device(stream.device_index());
  driver::Queue* queue = queue_of(stream);
  return d.reached(queue, d.submitted(queue));
}

void synchronize(c10::Stream stream) {
  log_sync("stream", stream.device_index(), stream.id());
  driver::Device& d = device(stream.device_index());
  driver::Queue* queue = queue_of(stream);
  d.wait(queue, d.submitted(queue));
  throw_fault(d, queue);
}

void synchronize_device(c10::DeviceIndex index) {
  index = resolve(index);
  log_sync("device", index, 0);
  driver::Device& d = device(index);
  DeviceStreams& streams = streams_of(index);
  // All queues are waited for before any fault is thrown, so that none is left running.
  for (auto& slot : streams.queues)
    if (driver::Queue* queue = slot.load(std::memory_order_acquire))
      d.wait(queue, d.submitted(queue));
  for (auto& slot : streams.queues)
    if (driver::Queue* queue = slot.load(std::memory_order_acquire)) throw_fault(d, queue);
}

Event::~Event() {
  if (stamp) stamp->release();
}

void record(Event& event, c10::Stream stream, bool timing) {
  driver::Device& d = device(stream.device_index());
  driver::Queue* queue = queue_of(stream);
  if (timing) {
    // A new stamp each time: an earlier recording may still be queued.
    if (event.stamp) event.stamp->release();
    event.stamp = new driver::Stamp;
    driver::Packet packet;
    packet.kind = driver::PacketKind::stamp;
    packet.stamp = event.stamp;
    packet.other = nullptr;
    event.value = submit(stream, packet);
  } else {
    event.value = d.submitted(queue);
  }
  event.device = resolve(stream.device_index());
  event.queue = queue;
}

void block(const Event& event, c10::Stream stream) {
  if (!event.queue || event.queue == queue_of(stream) || query(event)) return;
  driver::Packet packet;
  packet.kind = driver::PacketKind::wait;
  packet.other = event.queue;
  packet.value = event.value;
  packet.stamp = nullptr;
  submit(stream, packet);
}

bool query(const Event& event) {
  return !event.queue || device(event.device).reached(event.queue, event.value);
}

void synchronize(const Event& event) {
  if (!event.queue) return;
  log_sync("event", event.device, 0);
  driver::Device& d = device(event.device);
  d.wait(event.queue, event.value);
  throw_fault(d, event.queue);
}

double elapsed_ms(const Event& a, const Event& b) {
  TORCH_CHECK(a.queue && b.queue,
              "Both events must be recorded before calculating elapsed time.");
  TORCH_CHECK(a.stamp && b.stamp,
              "Both events must be created with argument 'enable_timing=True'.");
  TORCH_CHECK(query(a) && query(b), "TRN error: device not ready");
  return static_cast<double>(b.stamp->ns.load() - a.stamp->ns.load()) * 1e-6;
}

}  // namespace trn::runtime
