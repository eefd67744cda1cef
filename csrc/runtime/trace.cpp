// Stamps around launches, and what is known of each when it is queued.
#include "runtime/trace.h"

#include <c10/util/ApproximateClock.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <limits>
#include <mutex>
#include <string_view>
#include <utility>

#include "base/site.h"

namespace trn::runtime {
namespace {

// A launch while it is under way. Shapes are kept as numbers: text is made at the end.
struct Open {
  TraceRecord record;
  driver::Stamp *before, *after;
  size_t shapes;  // where its numbers begin in Session::shapes
  int operands;
};

struct Session {
  std::mutex mutex;
  std::vector<Open> launches;
  std::vector<int64_t> shapes;        // an operand: type, dimensions, then each size
  std::array<int64_t, 128> offset{};  // by device: from the driver's clock to c10's
  std::array<bool, 128> calibrated{};
};
Session& session() {
  static auto* s = new Session;
  return *s;
}

thread_local uint64_t correlation = 0;
thread_local const auto this_thread = static_cast<int32_t>(::syscall(SYS_gettid));

uint64_t queue(c10::Stream stream, const driver::Packet& packet) {
  return device(stream.device_index()).submit(queue_of(stream), packet);
}

uint64_t stamp(c10::Stream stream, driver::Stamp* to) {
  driver::Packet packet;
  packet.kind = driver::PacketKind::stamp;
  packet.stamp = to;
  packet.other = nullptr;
  return queue(stream, packet);
}

// Reads both clocks at about the same moment; the closest of a few readings counts.
int64_t clock_offset(c10::DeviceIndex index) {
  const c10::Stream stream = acquire_stream(index);
  int64_t best = 0, closest = std::numeric_limits<int64_t>::max();
  for (int i = 0; i < 5; ++i) {
    auto* s = new driver::Stamp;
    const int64_t before = c10::getTime();
    device(index).wait(queue_of(stream), stamp(stream, s));
    const int64_t after = c10::getTime();
    if (after - before < closest) {
      closest = after - before;
      best = (before + after) / 2 - s->ns.load();
    }
    s->release();
  }
  release_stream(stream);
  return best;
}

void add_shapes(Session& s, const Call& call) {
  for (int i = 0; i < call.noperands; ++i) {
    const Operand& o = call.operand[i];
    s.shapes.push_back(static_cast<int64_t>(o.dtype));
    s.shapes.push_back(o.ndim);
    for (int d = 0; d < o.ndim; ++d) s.shapes.push_back(o.sizes[d]);
  }
}

std::string shape_text(const std::vector<int64_t>& numbers, size_t at, int operands) {
  std::string text;
  for (int i = 0; i < operands; ++i) {
    if (i) text += ' ';
    text += dtype_name(static_cast<DType>(numbers[at]));
    const int64_t ndim = numbers[at + 1];
    at += 2;
    text += '[';
    for (int64_t d = 0; d < ndim; ++d) text += (d ? "x" : "") + std::to_string(numbers[at++]);
    text += ']';
  }
  return text;
}

bool is_traced(driver::PacketKind kind) {
  return kind != driver::PacketKind::wait && kind != driver::PacketKind::stamp;
}

// See kernels/host_function.cpp.
const char* name_of(const Call& call) {
  const bool generated = std::string_view(call.kernel->name) == "host_function";
  return generated ? reinterpret_cast<const char*>(call.ints[3]) : nullptr;
}

}  // namespace

void set_correlation(uint64_t id) { correlation = id; }

uint64_t submit_traced(c10::Stream stream, const driver::Packet& packet) {
  if (!is_traced(packet.kind)) return queue(stream, packet);
  const bool is_kernel = packet.kind == driver::PacketKind::kernel;
  Open open{};
  TraceRecord& r = open.record;
  r.kind = packet.kind;
  r.direction = packet.kind == driver::PacketKind::upload ? driver::Direction::host_to_device
                                                          : packet.direction;
  r.kernel = is_kernel ? packet.call.kernel : nullptr;
  r.name = is_kernel ? name_of(packet.call) : nullptr;
  r.device = stream.device_index();
  r.stream = stream.id();
  r.bytes = is_kernel ? 0 : packet.bytes;
  r.work = is_kernel ? packet.call.work : 0;
  r.site = is_kernel && packet.call.site ? packet.call.site : capture_site();
  r.correlation = correlation;
  r.thread = this_thread;
  open.before = new driver::Stamp;
  open.after = new driver::Stamp;
  r.queued_from = c10::getTime();
  stamp(stream, open.before);
  queue(stream, packet);
  const uint64_t value = stamp(stream, open.after);
  r.queued_to = c10::getTime();
  Session& s = session();
  std::lock_guard lock(s.mutex);
  open.shapes = s.shapes.size();
  open.operands = is_kernel ? packet.call.noperands : 0;
  if (is_kernel) add_shapes(s, packet.call);
  if (!s.calibrated[r.device]) {
    s.offset[r.device] = clock_offset(r.device);
    s.calibrated[r.device] = true;
  }
  s.launches.push_back(std::move(open));
  return value;
}

void start_trace() {
  Session& s = session();
  std::lock_guard lock(s.mutex);
  s.launches.clear();
  s.shapes.clear();
  s.calibrated.fill(false);
  tracing.store(true, std::memory_order_release);
}

std::vector<TraceRecord> stop_trace() {
  tracing.store(false, std::memory_order_release);
  Session& s = session();
  std::lock_guard lock(s.mutex);
  for (c10::DeviceIndex i = 0; i < device_count(); ++i)
    if (s.calibrated[i]) wait_for_queues(i);
  std::vector<TraceRecord> records;
  records.reserve(s.launches.size());
  for (Open& open : s.launches) {
    TraceRecord& r = open.record;
    r.begin = open.before->ns.load() + s.offset[r.device];
    r.end = open.after->ns.load() + s.offset[r.device];
    r.operands = shape_text(s.shapes, open.shapes, open.operands);
    open.before->release();
    open.after->release();
    records.push_back(std::move(r));
  }
  s.launches.clear();
  s.shapes.clear();
  return records;
}

}  // namespace trn::runtime
