// Allocations by address for the bounds, vector clocks of streams for the races.
#include "runtime/strict.h"

#include <c10/util/Exception.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/option.h"
#include "base/site.h"

namespace trn::runtime::strict {
namespace {

struct Switches {
  bool poison = options().has_strict("poison");
  bool bounds = options().has_strict("bounds");
  bool races = options().has_strict("races");
};
const Switches& on() {
  static const Switches switches;
  return switches;
}

// A stream by number: device and id. A clock says how many of each stream's launches came before.
using StreamKey = int64_t;
using Clock = std::map<StreamKey, uint64_t>;
StreamKey key_of(c10::Stream s) { return (int64_t{s.device_index()} << 32) | s.id(); }

void merge(Clock& into, const Clock& from) {
  for (const auto& [stream, time] : from) into[stream] = std::max(into[stream], time);
}

struct Access {
  const char *begin, *end;
  StreamKey stream;
  uint64_t time;
  bool writes;
  const char* name;
  int32_t site;
  bool overlaps(const Access& a) const { return begin < a.end && a.begin < end; }
  bool covers(const Access& a) const { return begin <= a.begin && a.end <= end; }
};

struct State {
  std::mutex mutex;
  std::map<const char*, int64_t> live;  // allocations and the bytes asked for
  std::unordered_map<StreamKey, Clock> clocks;
  std::unordered_map<const driver::Queue*, std::map<uint64_t, Clock>> events;  // by value
  Clock host;  // launches that the host knows to be done
  std::unordered_map<uintptr_t, std::vector<Access>> pages;  // accesses by 2 MiB of addresses
};
State& state() {
  static auto* s = new State;
  return *s;
}
constexpr int kPageShift = 21;
constexpr size_t kMostAccesses = 512;  // of a page; the oldest are forgotten
constexpr size_t kMostEvents = 4096;   // of a queue; likewise

// What comes before an event; everything for one that is not known.
Clock clock_of(const State& s, const Event& event) {
  if (const auto queue = s.events.find(event.queue); queue != s.events.end())
    if (const auto at = queue->second.find(event.value); at != queue->second.end())
      return at->second;
  Clock everything;
  for (const auto& [key, clock] : s.clocks) merge(everything, clock);
  return everything;
}

// The bytes that an operand reaches.
std::pair<const char*, const char*> extent(const Operand& o) {
  int64_t low = 0, high = 0;
  for (int d = 0; d < o.ndim; ++d) {
    if (o.sizes[d] == 0) return {nullptr, nullptr};
    (o.strides[d] < 0 ? low : high) += (o.sizes[d] - 1) * o.strides[d];
  }
  const auto* data = static_cast<const char*>(o.data);
  const int64_t size = dtype_size(o.dtype);
  return {data + low * size, data + (high + 1) * size};
}

template <class Visit>
void each_access(const driver::Packet& p, Visit visit) {
  const auto bytes = [&](const void* at, bool writes, const char* name) {
    const auto* begin = static_cast<const char*>(at);
    if (p.bytes > 0 && device_of_pointer(begin) >= 0) visit(begin, begin + p.bytes, writes, name);
  };
  switch (p.kind) {
    case driver::PacketKind::kernel:
      for (int i = 0; i < p.call.noperands; ++i) {
        const Operand& o = p.call.operand[i];
        if (o.absent() || !o.data) continue;
        const auto [begin, end] = extent(o);
        if (begin) visit(begin, end, i < p.call.noutputs, p.call.kernel->name);
      }
      return;
    case driver::PacketKind::copy: bytes(p.src, false, "copy"); return bytes(p.dst, true, "copy");
    case driver::PacketKind::upload: return bytes(p.dst, true, "copy");
    case driver::PacketKind::fill: return bytes(p.dst, true, "fill");
    default: return;
  }
}

std::string from_line(int32_t site) {
  const std::string line = site_text(site);
  return line.empty() ? std::string("an unknown line") : line;
}

void check_bounds(const State& s, const char* begin, const char* end, const char* name) {
  auto at = s.live.upper_bound(begin);
  const bool found = at != s.live.begin();
  if (found) --at;
  const int64_t size = found ? at->second : 0;
  const int64_t low = found ? begin - at->first : -1;
  TORCH_CHECK(found && low < size, "TRN_STRICT=bounds: ", name,
              " touches memory that is not "
              "allocated (any more), from ",
              from_line(capture_site()));
  TORCH_CHECK(low + (end - begin) <= size, "TRN_STRICT=bounds: ", name, " touches bytes ", low,
              " to ", low + (end - begin), " of an allocation of ", size, " bytes, from ",
              from_line(capture_site()));
}

[[noreturn]] void report(const Access& first, const Access& second) {
  const auto say = [](const Access& a) {
    return c10::str(a.name, a.writes ? " writes" : " reads", " on stream ", a.stream & 0xffffffff,
                    " of trn:", a.stream >> 32, ", from ", from_line(a.site));
  };
  TORCH_CHECK(false,
              "TRN_STRICT=races: two streams touch the same memory and no event orders "
              "them: ",
              say(first), "; ", say(second));
}

void check_races(State& s, const Access& a) {
  const Clock& seen = s.clocks[a.stream];
  for (uintptr_t page = reinterpret_cast<uintptr_t>(a.begin) >> kPageShift;
       page <= reinterpret_cast<uintptr_t>(a.end - 1) >> kPageShift; ++page) {
    auto& accesses = s.pages[page];
    for (const Access& other : accesses) {
      if (other.stream == a.stream || !(other.writes || a.writes) || !other.overlaps(a)) continue;
      const auto known = seen.find(other.stream);
      if (known == seen.end() || known->second < other.time) report(other, a);
    }
    // What this access comes after and covers can meet nobody that this one does not meet too.
    std::erase_if(accesses, [&](const Access& other) {
      return a.covers(other) && (a.writes || (!other.writes && other.stream == a.stream));
    });
    accesses.push_back(a);
    if (accesses.size() > kMostAccesses) accesses.erase(accesses.begin());
  }
}

}  // namespace

bool enabled() {
  static const bool any = on().poison || on().bounds || on().races;
  return any;
}

void mapped(void* ptr, int64_t bytes) {
  std::lock_guard lock(state().mutex);
  state().live[static_cast<const char*>(ptr)] = bytes;
}

void allocated(void* ptr, int64_t requested, c10::Stream stream) {
  mapped(ptr, requested);
  if (!on().poison) return;
  driver::Packet fill;
  fill.kind = driver::PacketKind::fill;
  fill.dst = ptr;
  fill.bytes = requested;
  fill.value = 0xFF;
  fill.other = nullptr;
  fill.stamp = nullptr;
  submit(stream, fill);
}

void freed(void* ptr) {
  std::lock_guard lock(state().mutex);
  state().live.erase(static_cast<const char*>(ptr));
}

void check(c10::Stream stream, const driver::Packet& packet) {
  if (!on().bounds && !on().races) return;
  const int32_t site = on().races ? capture_site() : 0;  // before the lock: it may need the GIL
  State& s = state();
  std::lock_guard lock(s.mutex);
  const StreamKey me = key_of(stream);
  Clock& clock = s.clocks[me];
  merge(clock, s.host);
  const uint64_t time = ++clock[me];
  each_access(packet, [&](const char* begin, const char* end, bool writes, const char* name) {
    if (on().bounds) check_bounds(s, begin, end, name);
    if (on().races) check_races(s, {begin, end, me, time, writes, name, site});
  });
}

void recorded(const Event& event, c10::Stream stream) {
  State& s = state();
  std::lock_guard lock(s.mutex);
  auto& points = s.events[event.queue];
  points[event.value] = s.clocks[key_of(stream)];
  if (points.size() > kMostEvents) points.erase(points.begin());
}

void blocked(const Event& event, c10::Stream stream) {
  State& s = state();
  std::lock_guard lock(s.mutex);
  merge(s.clocks[key_of(stream)], clock_of(s, event));
}

void host_saw(const Event& event) {
  State& s = state();
  std::lock_guard lock(s.mutex);
  merge(s.host, clock_of(s, event));
}
void host_saw(c10::Stream stream) {
  std::lock_guard lock(state().mutex);
  merge(state().host, state().clocks[key_of(stream)]);
}
void host_saw_all() {
  State& s = state();
  std::lock_guard lock(s.mutex);
  for (const auto& [key, clock] : s.clocks) merge(s.host, clock);
}

}  // namespace trn::runtime::strict
