// Streams onto queues, events onto timelines, faults onto exceptions.
#include "runtime/stream.h"

#include <c10/util/Exception.h>

#include <array>
#include <cstdio>
#include <mutex>
#include <utility>
#include <vector>

#include "base/option.h"
#include "base/site.h"
#include "base/spoken.h"
#include "runtime/capture.h"
#include "runtime/strict.h"
#include "runtime/trace.h"

namespace trn::runtime {
namespace {

constexpr int kMaxDevices = 64;
constexpr int kPriorities = 1 - kHighestPriority;
constexpr int kStreamsPerPool = 32;
constexpr int kPooled = 1 + kPriorities * kStreamsPerPool;
constexpr int kStreams = kPooled + kOwnStreams;

// StreamId 0 is the default stream; 1 + pool * 32 + index the pools', pool = -priority; then those
// of services.
struct DeviceStreams {
  std::array<std::atomic<driver::Queue*>, kStreams> queues{};
  std::array<std::atomic<uint32_t>, kPriorities> next{};
  std::array<std::atomic<uint64_t>, kOwnStreams> promised{};
  std::vector<c10::StreamId> given_back;  // of services
  int acquired = 0;
  std::atomic<bool> has_error{false};
  std::exception_ptr error;
  std::mutex mutex;
};

DeviceStreams& streams_of(c10::DeviceIndex device) {
  static auto* all = new std::array<DeviceStreams, kMaxDevices>;
  return (*all)[device];
}

thread_local std::array<c10::StreamId, kMaxDevices> current{};
std::atomic<uint64_t> launches{0};

c10::DeviceIndex resolve(c10::DeviceIndex device) { return device < 0 ? current_device() : device; }

c10::Stream make(c10::DeviceIndex device, c10::StreamId id) {
  return c10::Stream(c10::Stream::UNSAFE, c10::Device(c10::kPrivateUse1, device), id);
}

[[noreturn]] void raise(const Status& status, int32_t site) {
  const std::string line = site_text(site);
  throw c10::AcceleratorError(
      {__func__, __FILE__, static_cast<uint32_t>(__LINE__)}, /*code=*/710,
      std::string(spoken_platform()) + " error: device-side assert triggered: " + status.message() +
          (line.empty() ? std::string() : ", launched from " + line) +
          "\nThe error is reported at the next synchronisation, after the call that caused it.");
}

void throw_fault(c10::DeviceIndex index, driver::Device& device, driver::Queue* queue) {
  DeviceStreams& streams = streams_of(index);
  if (C10_UNLIKELY(streams.has_error.load(std::memory_order_acquire))) {
    std::exception_ptr error;
    {
      std::lock_guard lock(streams.mutex);
      streams.has_error.store(false);
      error = std::exchange(streams.error, nullptr);
    }
    if (error) std::rethrow_exception(error);
  }
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
  check_ordinal(device);
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
  if (stream.id() == 0 || stream.id() >= kPooled) return 0;
  return -static_cast<int>((stream.id() - 1) / kStreamsPerPool);
}

c10::Stream acquire_stream(c10::DeviceIndex device) {
  device = resolve(device);
  DeviceStreams& streams = streams_of(device);
  std::lock_guard lock(streams.mutex);
  if (!streams.given_back.empty()) {
    const c10::StreamId id = streams.given_back.back();
    streams.given_back.pop_back();
    return make(device, id);
  }
  TORCH_CHECK(streams.acquired < kOwnStreams, "all ", kOwnStreams,
              " streams for services of trn:", static_cast<int>(device), " are in use");
  return make(device, kPooled + streams.acquired++);
}

void release_stream(c10::Stream stream) {
  DeviceStreams& streams = streams_of(stream.device_index());
  std::lock_guard lock(streams.mutex);
  streams.given_back.push_back(stream.id());
}

uint64_t promise(c10::Stream stream) {
  const uint64_t submitted = device(stream.device_index()).submitted(queue_of(stream));
  auto& promised = streams_of(stream.device_index()).promised[stream.id() - kPooled];
  const uint64_t value = std::max(promised.load(std::memory_order_acquire), submitted) + 1;
  promised.store(value, std::memory_order_release);
  return value;
}

void post_error(c10::DeviceIndex device, std::exception_ptr error) {
  DeviceStreams& streams = streams_of(resolve(device));
  std::lock_guard lock(streams.mutex);
  if (!streams.error || !error) streams.error = std::move(error);
  streams.has_error.store(streams.error != nullptr, std::memory_order_release);
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
  if (Capture* capture = capture_of(stream)) {
    capture->add(stream, packet);
    return 0;
  }
  if (C10_UNLIKELY(strict::enabled())) strict::check(stream, packet);
  if (packet.kind == driver::PacketKind::kernel) launches.fetch_add(1, std::memory_order_relaxed);
  if (C10_UNLIKELY(verbose)) log(packet);
  if (C10_UNLIKELY(tracing.load(std::memory_order_relaxed))) return submit_traced(stream, packet);
  return device(stream.device_index()).submit(queue_of(stream), packet);
}

uint64_t submit(c10::DeviceIndex device, const driver::Packet& packet) {
  return submit(current_stream(device), packet);
}

uint64_t launch_count() { return launches.load(std::memory_order_relaxed); }

bool query(c10::Stream stream) {
  refuse_in_capture(stream, "a query of the stream");
  driver::Device& d = device(stream.device_index());
  driver::Queue* queue = queue_of(stream);
  const bool done = d.reached(queue, d.submitted(queue));
  if (C10_UNLIKELY(strict::enabled()) && done) strict::host_saw(stream);
  return done;
}

void synchronize(c10::Stream stream) {
  refuse_in_capture(stream, "a synchronisation with the host");
  log_sync("stream", stream.device_index(), stream.id());
  driver::Device& d = device(stream.device_index());
  driver::Queue* queue = queue_of(stream);
  d.wait(queue, d.submitted(queue));
  if (C10_UNLIKELY(strict::enabled())) strict::host_saw(stream);
  throw_fault(stream.device_index(), d, queue);
}

void wait_for_queues(c10::DeviceIndex index) {
  driver::Device& d = device(index);
  DeviceStreams& streams = streams_of(resolve(index));
  for (int i = 0; i < kStreams; ++i) {
    driver::Queue* queue = streams.queues[i].load(std::memory_order_acquire);
    if (!queue) continue;
    const uint64_t promised = i < kPooled ? 0 : streams.promised[i - kPooled].load();
    d.wait(queue, std::max(promised, d.submitted(queue)));
  }
}

void synchronize_device(c10::DeviceIndex index) {
  index = resolve(index);
  if (Capture* c = capture_on(index)) refuse_in_capture(*c, "a synchronisation of the device");
  log_sync("device", index, 0);
  // All queues are waited for before any fault is thrown, so that none is left running.
  wait_for_queues(index);
  if (C10_UNLIKELY(strict::enabled())) strict::host_saw_all();
  driver::Device& d = device(index);
  for (auto& slot : streams_of(index).queues)
    if (driver::Queue* queue = slot.load(std::memory_order_acquire)) throw_fault(index, d, queue);
}

namespace {
void refuse_captured(const Event& event) {
  if (!event.captured) return;
  if (Capture* c = capture_on(event.device)) refuse_in_capture(*c, "waiting for a captured event");
  TORCH_CHECK(false, spoken_platform(),
              " error: the event was recorded in a graph capture and is never reached");
}
}  // namespace

Event::~Event() {
  if (stamp) stamp->release();
}

void record(Event& event, c10::Stream stream, bool timing) {
  event.captured.reset();
  if (Capture* capture = capture_of(stream)) {
    event.captured = capture->point(stream);
    event.device = resolve(stream.device_index());
    return;
  }
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
  if (C10_UNLIKELY(strict::enabled())) strict::recorded(event, stream);
}

void block(const Event& event, c10::Stream stream) {
  if (event.captured) return join_capture(stream, *event.captured);
  if (Capture* c = capture_of(stream); c && event.queue)
    refuse_in_capture(*c, "a dependency on uncaptured work in another stream");
  if (C10_UNLIKELY(strict::enabled()) && event.queue) strict::blocked(event, stream);
  if (!event.queue || event.queue == queue_of(stream) || query(event)) return;
  driver::Packet packet;
  packet.kind = driver::PacketKind::wait;
  packet.other = event.queue;
  packet.value = event.value;
  packet.stamp = nullptr;
  submit(stream, packet);
}

bool query(const Event& event) {
  refuse_captured(event);
  if (!event.queue) return true;
  const bool done = device(event.device).reached(event.queue, event.value);
  if (C10_UNLIKELY(strict::enabled()) && done) strict::host_saw(event);
  return done;
}

void synchronize(const Event& event) {
  refuse_captured(event);
  if (!event.queue) return;
  log_sync("event", event.device, 0);
  driver::Device& d = device(event.device);
  d.wait(event.queue, event.value);
  if (C10_UNLIKELY(strict::enabled())) strict::host_saw(event);
  throw_fault(event.device, d, event.queue);
}

double elapsed_ms(const Event& a, const Event& b) {
  TORCH_CHECK(a.queue && b.queue, "Both events must be recorded before calculating elapsed time.");
  TORCH_CHECK(a.stamp && b.stamp,
              "Both events must be created with argument 'enable_timing=True'.");
  TORCH_CHECK(query(a) && query(b), spoken_platform(), " error: device not ready");
  return static_cast<double>(b.stamp->ns.load() - a.stamp->ns.load()) * 1e-6;
}

}  // namespace trn::runtime
