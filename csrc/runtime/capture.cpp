// The captures under way, and how each records packets, draws and joins.
#include "runtime/capture.h"

#include <c10/util/Exception.h>

#include <algorithm>
#include <cstring>

#include "base/spoken.h"
#include "driver/packet.h"

namespace trn::runtime {
namespace {

struct Live {
  std::atomic<int> count{0};
  std::mutex mutex;
  std::vector<Capture*> all;
};
Live& live() {
  static auto* l = new Live;
  return *l;
}

template <class Match>
Capture* find(Match match) {
  Live& l = live();
  if (C10_LIKELY(l.count.load(std::memory_order_acquire) == 0)) return nullptr;
  std::lock_guard lock(l.mutex);
  for (Capture* c : l.all)
    if (match(*c)) return c;
  return nullptr;
}

uint64_t next_id() {
  static std::atomic<uint64_t> last{0};
  return ++last;
}

// A number that no seed, size or offset of a launch will be by chance.
uint64_t mark_of(uint64_t capture, size_t generator) {
  uint64_t x = capture * 0x9E3779B97F4A7C15ull + generator + 1;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
  return x ^ (x >> 31);
}

}  // namespace

Capture::Capture(c10::Stream origin) : id_(next_id()), origin_(origin) {
  TORCH_CHECK(!capture_of(origin), spoken_platform(),
              " graph capture has already begun on this stream");
  clocks_[origin.id()];
  Live& l = live();
  std::lock_guard lock(l.mutex);
  l.all.push_back(this);
  l.count.fetch_add(1, std::memory_order_release);
}

Capture::~Capture() {
  Live& l = live();
  std::lock_guard lock(l.mutex);
  const auto at = std::find(l.all.begin(), l.all.end(), this);
  if (at == l.all.end()) return;
  l.all.erase(at);
  l.count.fetch_sub(1, std::memory_order_release);
}

bool Capture::covers(c10::Stream stream) {
  if (stream.device_index() != origin_.device_index()) return false;
  std::lock_guard lock(mutex_);
  return clocks_.count(stream.id()) > 0;
}

void Capture::add(c10::Stream stream, const driver::Packet& packet) {
  std::lock_guard lock(mutex_);
  find_draw(packet);
  driver::copy_packet(recording_.packets.emplace_back(), packet);
  clocks_[stream.id()][stream.id()] = recording_.packets.size();
}

// Operators put a generator's seed and offset side by side among a launch's integers.
void Capture::find_draw(const driver::Packet& packet) {
  if (packet.kind != driver::PacketKind::kernel) return;
  const Call& call = packet.call;
  for (size_t g = 0; g < recording_.generators.size(); ++g)
    for (int i = 0; i + 1 < call.nints; ++i)
      if (static_cast<uint64_t>(call.ints[i]) == recording_.generators[g].mark)
        recording_.draws.push_back({recording_.packets.size(), i, g});
}

std::pair<uint64_t, uint64_t> Capture::draw(const at::Generator& generator, uint64_t count) {
  std::lock_guard lock(mutex_);
  auto& all = recording_.generators;
  auto at =
      std::find_if(all.begin(), all.end(), [&](const auto& s) { return s.generator == generator; });
  if (at == all.end()) {
    all.push_back({generator, mark_of(id_, all.size())});
    at = all.end() - 1;
  }
  return {at->mark, std::exchange(at->drawn, at->drawn + (count + 3) / 4 * 4)};
}

void Capture::keep(c10::Storage host) {
  std::lock_guard lock(mutex_);
  recording_.kept.push_back(std::move(host));
}

std::shared_ptr<CapturePoint> Capture::point(c10::Stream stream) {
  std::lock_guard lock(mutex_);
  return std::make_shared<CapturePoint>(CapturePoint{id_, clocks_[stream.id()]});
}

void Capture::join(c10::Stream stream, const CapturePoint& point) {
  TORCH_CHECK(stream.device_index() == origin_.device_index(),
              "a graph records the streams of one device; ", spoken_device(), ":",
              static_cast<int>(stream.device_index()), " cannot join a capture on ",
              spoken_device(), ":", static_cast<int>(origin_.device_index()));
  std::lock_guard lock(mutex_);
  auto& clock = clocks_[stream.id()];
  for (const auto& [id, position] : point.seen) clock[id] = std::max(clock[id], position);
}

void Capture::spoil(std::string reason) {
  std::lock_guard lock(mutex_);
  if (spoilt_.empty()) spoilt_ = std::move(reason);
}

Recording Capture::end() {
  std::lock_guard lock(mutex_);
  TORCH_CHECK(spoilt_.empty(), spoken_platform(), " graph capture failed: ", spoilt_);
  auto& seen = clocks_[origin_.id()];
  for (auto& [id, clock] : clocks_)
    TORCH_CHECK(seen[id] >= clock[id], spoken_platform(),
                " graph capture has unjoined work: the capturing stream never waited for "
                "stream ",
                id, ", which was forked from it");
  return std::move(recording_);
}

Capture* capture_of(c10::Stream stream) {
  return find([&](Capture& c) { return c.covers(stream); });
}
Capture* capture_on(c10::DeviceIndex device) {
  return find([&](Capture& c) { return c.covers(device); });
}

void refuse_in_capture(Capture& capture, const char* what) {
  const std::string text = std::string("operation not permitted when stream is capturing: ") + what;
  capture.spoil(text);
  constexpr int kCaptureUnsupported = 900;  // CUDA's number for it
  throw c10::AcceleratorError({__func__, __FILE__, static_cast<uint32_t>(__LINE__)},
                              kCaptureUnsupported, c10::str(spoken_platform(), " error: ", text));
}
void refuse_in_capture(c10::Stream stream, const char* what) {
  if (Capture* c = capture_of(stream)) refuse_in_capture(*c, what);
}

void join_capture(c10::Stream stream, const CapturePoint& point) {
  Capture* c = find([&](Capture& one) { return one.id() == point.capture; });
  TORCH_CHECK(c, spoken_platform(),
              " error: the event was recorded in a graph capture that has ended; it orders "
              "nothing outside of it");
  c->join(stream, point);
}

}  // namespace trn::runtime
