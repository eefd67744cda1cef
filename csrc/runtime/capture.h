// Capture: while a stream is captured, its launches go into a recording instead of its queue.
#pragma once

#include <ATen/core/Generator.h>
#include <c10/core/Storage.h>

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "runtime/stream.h"

namespace trn::runtime {

// A recorded launch that draws random numbers: ints[at] is the seed and ints[at + 1] the offset,
// which counts from where the generator stands at each replay.
struct Draw {
  size_t packet;
  int at;
  size_t generator;  // index in Recording::generators
};

// What a capture leaves. The packets stand in an order that keeps every event's promise, so one
// queue may run them one after another.
struct Recording {
  struct Source {
    at::Generator generator;
    uint64_t mark;       // stands for the seed in recorded packets
    uint64_t drawn = 0;  // counters that one replay takes
  };
  std::vector<driver::Packet> packets;
  std::vector<Draw> draws;
  std::vector<Source> generators;
  std::vector<c10::Storage> kept;  // host memory that recorded copies read or write
};

// Where a captured stream stood when an event was recorded on it: how much of every stream's
// recorded work comes before.
struct CapturePoint {
  uint64_t capture;
  std::map<c10::StreamId, size_t> seen;
};

// One capture under way. Thread-safe: a backward pass records from autograd's threads.
class Capture {
 public:
  // Starts to record `origin`. Raises when it is captured already.
  explicit Capture(c10::Stream origin);
  ~Capture();
  Capture(const Capture&) = delete;

  uint64_t id() const { return id_; }
  c10::Stream origin() const { return origin_; }
  bool covers(c10::Stream stream);
  bool covers(c10::DeviceIndex device) const { return origin_.device_index() == device; }

  void add(c10::Stream stream, const driver::Packet& packet);
  // A mark for the seed and an offset from where a replay will find the generator.
  std::pair<uint64_t, uint64_t> draw(const at::Generator& generator, uint64_t count);
  void keep(c10::Storage host);

  std::shared_ptr<CapturePoint> point(c10::Stream stream);
  // The stream is captured too from here on, and comes after the point.
  void join(c10::Stream stream, const CapturePoint& point);

  // Something was done that cannot be recorded: end() will refuse.
  void spoil(std::string reason);
  // Stops recording. Raises when the capture is spoilt or another stream's work was never waited
  // for by the origin.
  Recording end();

 private:
  void find_draw(const driver::Packet& packet);

  const uint64_t id_;
  const c10::Stream origin_;
  std::mutex mutex_;
  std::map<c10::StreamId, std::map<c10::StreamId, size_t>> clocks_;  // by captured stream
  Recording recording_;
  std::string spoilt_;
};

// The capture that a stream's work goes into, or null. Costs one load while nothing is captured.
Capture* capture_of(c10::Stream stream);
// The capture of any stream of a device, or null.
Capture* capture_on(c10::DeviceIndex device);
// Refuses what needs the stream's results now: spoils its capture and raises
// c10::AcceleratorError ("operation not permitted when stream is capturing"). Else does nothing.
void refuse_in_capture(c10::Stream stream, const char* what);
[[noreturn]] void refuse_in_capture(Capture& capture, const char* what);
// For an event recorded in a capture: joins `stream` to it, if it is still under way.
void join_capture(c10::Stream stream, const CapturePoint& point);

}  // namespace trn::runtime
