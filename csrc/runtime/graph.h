// Graphs: a captured stretch of launches that replays without the program that made it.
#pragma once

#include <ATen/core/GraphImplInterface.h>

#include <map>
#include <memory>
#include <optional>

#include "runtime/capture.h"
#include "runtime/stream.h"

namespace trn::runtime {

// torch.accelerator.Graph and torch.trn.TRNGraph. One object holds one graph; methods are not
// thread-safe against each other, as CUDA's are not.
class Graph final : public at::GraphImplInterface {
 public:
  explicit Graph(const at::GraphImplArgs& args) : keep_(args.keep_graph) {}
  ~Graph() override { reset(); }

  // Captures the current stream. Memory comes from `pool` ({0, 0}: one of its own) and stays
  // reserved while the graph lives. The modes are alike: nothing that other threads do here can
  // disturb a capture.
  void capture_begin(c10::MempoolId_t pool, at::GraphCaptureMode mode) override;
  // Raises, and holds no graph, when something in between could not be recorded.
  void capture_end() override;
  void instantiate() override;
  // Queues every recorded launch on the current stream. Random launches draw anew from their
  // generators, which advance as an eager run would have advanced them.
  void replay() override;
  void reset() override;
  c10::MempoolId_t pool() const override;
  void enable_debug_mode() override { debug_ = true; }
  // One line a packet, as TRN_VERBOSE=exec prints them. Needs enable_debug_mode().
  void debug_dump(const std::string& path) override;

 private:
  const bool keep_;
  bool debug_ = false, ready_ = false;
  c10::DeviceIndex device_ = -1;
  c10::MempoolId_t pool_{0, 0};
  std::unique_ptr<Capture> capture_;
  std::optional<Recording> recording_;
  std::map<c10::StreamId, Event> ends_;  // of the last replay on each stream
};

// Whether a live graph's launches name an address in [begin, begin + bytes).
bool graphs_use(const void* begin, size_t bytes);

}  // namespace trn::runtime
