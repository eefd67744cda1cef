// Tracing: which launch ran when, on which stream, from which operator and line. For profilers.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "runtime/stream.h"

namespace trn::runtime {

// One launch or copy. Times are nanoseconds on the clock of c10::getTime().
struct TraceRecord {
  driver::PacketKind kind;
  driver::Direction direction;
  const Kernel* kernel;  // of a kernel packet, else null
  const char* name;      // of a function that was generated, else null
  c10::DeviceIndex device;
  c10::StreamId stream;
  int64_t begin, end;
  int64_t queued_from, queued_to;  // when the launching thread gave it to the driver
  int32_t thread;                  // of that thread, the system's number
  int64_t bytes;                   // of a copy, upload or fill
  int64_t work;                    // of a kernel: independent items
  int32_t site;                    // base/site.h
  uint64_t correlation;            // set_correlation() of the launching thread
  std::string operands;            // "f32[4x8] f32[8]"
};

// Starts to trace every device of the process. While it is on, a launch queues two stamps more.
void start_trace();
// Stops, waits for the traced work and returns it in the order of launches.
std::vector<TraceRecord> stop_trace();

// What launches of this thread belong to until the next call; 0 is nothing.
void set_correlation(uint64_t id);

// --- for runtime/stream.cpp --------------------------------------------------------------------
inline std::atomic<bool> tracing{false};
// Queues a packet between two stamps and notes it.
uint64_t submit_traced(c10::Stream stream, const driver::Packet& packet);

}  // namespace trn::runtime
