// Capture, replay and debugging of graphs; registered as torch's graphs of this device.
#include "runtime/graph.h"

#include <c10/core/DeviceGuard.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <fstream>
#include <list>
#include <map>
#include <mutex>
#include <set>

#include "base/spoken.h"
#include "driver/packet.h"
#include "runtime/allocator.h"
#include "runtime/generator.h"

namespace trn::runtime {
namespace {

// Every recording alive, to be asked which memory it names.
struct Live {
  std::mutex mutex;
  std::set<const Recording*> recordings;
};
Live& live() {
  static auto* l = new Live;
  return *l;
}

// What recorded packets have on the host, of graphs that went while replays were still queued.
class Leftovers {
 public:
  struct Entry {
    std::map<c10::StreamId, Event> ends;
    std::vector<c10::Storage> kept;
  };

  // Takes an entry, which may be empty, and drops every one whose replays have run.
  void exchange(Entry entry) {
    std::list<Entry> done;  // goes after the lock: what is dropped may do anything
    std::lock_guard lock(mutex_);
    all_.push_back(std::move(entry));
    for (auto it = all_.begin(); it != all_.end();) {
      const auto here = it++;
      if (std::ranges::all_of(here->ends, [](const auto& end) { return query(end.second); }))
        done.splice(done.end(), all_, here);
    }
  }

 private:
  std::mutex mutex_;
  std::list<Entry> all_;
};
Leftovers& leftovers() {
  static auto* l = new Leftovers;
  return *l;
}

bool names(const driver::Packet& packet, const char* begin, const char* end) {
  const auto inside = [&](const void* p) { return p >= begin && p < end; };
  if (inside(packet.dst) || inside(packet.src)) return true;
  for (int i = 0; i < packet.call.noperands; ++i)
    if (inside(packet.call.operand[i].data)) return true;
  return false;
}

}  // namespace

bool graphs_use(const void* begin, size_t bytes) {
  const auto* first = static_cast<const char*>(begin);
  std::lock_guard lock(live().mutex);
  for (const Recording* recording : live().recordings)
    for (const driver::Packet& packet : recording->packets)
      if (names(packet, first, first + bytes)) return true;
  return false;
}

void Graph::capture_begin(c10::MempoolId_t pool, at::GraphCaptureMode) {
  TORCH_CHECK(!recording_ && !capture_,
              "This TRNGraph instance already owns a captured graph. To capture a new graph, "
              "create a new instance or call reset().");
  device_ = current_device();
  const c10::Stream stream = current_stream(device_);
  TORCH_CHECK(stream != default_stream(device_), spoken_platform(),
              " graphs must be captured on a non-default stream. (However, after capture, it's "
              "ok to replay them on the default stream.)");
  pool_ = pool == c10::MempoolId_t{0, 0} ? new_pool_id() : pool;
  capture_ = std::make_unique<Capture>(stream);
  const uint64_t id = capture_->id();
  begin_pool(device_, pool_, [id](c10::Stream s) {
    Capture* c = capture_of(s);
    return c && c->id() == id;
  });
}

void Graph::capture_end() {
  TORCH_CHECK(capture_, "capture_end() without capture_begin()");
  const std::unique_ptr<Capture> capture = std::move(capture_);
  end_pool(device_, pool_);
  try {
    const c10::DeviceGuard guard(c10::Device(c10::kPrivateUse1, device_));
    TORCH_CHECK(current_stream(device_) == capture->origin(),
                "Capture must end on the same stream it began on.");
    recording_ = capture->end();
    std::lock_guard lock(live().mutex);
    live().recordings.insert(&*recording_);
  } catch (...) {
    release_pool(device_, pool_);
    throw;
  }
  if (recording_->packets.empty())
    TORCH_WARN("The ", spoken_platform(),
               " graph is empty: no work was queued on the captured stream.");
  if (!keep_) instantiate();
}

void Graph::instantiate() {
  TORCH_CHECK(recording_, "Called ", spoken_platform(),
              "Graph::instantiate without a preceding successful capture.");
  recording_->packets.shrink_to_fit();
  ready_ = true;
}

void Graph::replay() {
  TORCH_CHECK(recording_, "Called ", spoken_platform(),
              "Graph::replay without a preceding successful capture.");
  if (!ready_) instantiate();
  const c10::Stream stream = current_stream(device_);
  refuse_in_capture(stream, "the replay of a graph");
  std::vector<std::pair<uint64_t, uint64_t>> states;  // seed and first offset of each generator
  for (const Recording::Source& source : recording_->generators)
    states.push_back(reserve(source.generator, device_, source.drawn));
  auto draw = recording_->draws.begin();
  for (size_t i = 0; i < recording_->packets.size(); ++i) {
    const driver::Packet& packet = recording_->packets[i];
    if (draw == recording_->draws.end() || draw->packet != i) {
      submit(stream, packet);
      continue;
    }
    driver::Packet fresh;
    driver::copy_packet(fresh, packet);
    for (; draw != recording_->draws.end() && draw->packet == i; ++draw) {
      fresh.call.ints[draw->at] = static_cast<int64_t>(states[draw->generator].first);
      fresh.call.ints[draw->at + 1] += static_cast<int64_t>(states[draw->generator].second);
    }
    submit(stream, fresh);
  }
  if (!recording_->kept.empty()) record(ends_[stream.id()], stream, false);
}

void Graph::reset() {
  if (capture_) {  // abandoned in the middle
    capture_.reset();
    end_pool(device_, pool_);
    release_pool(device_, pool_);
  }
  if (!recording_) return;
  // Replays may still be queued and read the graph's memory; the pool waits for them when it gives
  // that memory back.
  {
    std::lock_guard lock(live().mutex);
    live().recordings.erase(&*recording_);
  }
  leftovers().exchange({std::move(ends_), std::move(recording_->kept)});
  ends_.clear();
  recording_.reset();
  ready_ = false;
  release_pool(device_, pool_);
}

c10::MempoolId_t Graph::pool() const {
  TORCH_CHECK(recording_ || capture_, "Called ", spoken_platform(),
              "Graph::pool() without a preceding successful capture.");
  return pool_;
}

void Graph::debug_dump(const std::string& path) {
  TORCH_CHECK(debug_, "enable_debug_mode() has to be called before debug_dump()");
  TORCH_CHECK(recording_, "there is no captured graph to dump");
  std::ofstream file(path);
  for (const driver::Packet& packet : recording_->packets) file << driver::describe(packet) << '\n';
  TORCH_CHECK(file.good(), "cannot write ", path);
}

}  // namespace trn::runtime

namespace at {
using TrnGraph = trn::runtime::Graph;
REGISTER_GRAPH_IMPL(TRN, TrnGraph);
}  // namespace at
