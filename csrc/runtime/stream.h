// Streams and events: torch's names for queues and timeline values.
#pragma once

#include <c10/core/Stream.h>

#include <exception>
#include <memory>

#include "runtime/device.h"

namespace trn::runtime {

// Priorities run from 0 (normal) down to this; lower goes first, as on CUDA.
inline constexpr int kHighestPriority = -3;

// A stream of the device's pool, of a priority clamped to the range; they are reused in turn.
c10::Stream stream_from_pool(c10::DeviceIndex device, int priority);
c10::Stream default_stream(c10::DeviceIndex device);
// The calling thread's stream on a device (-1: the current device).
c10::Stream current_stream(c10::DeviceIndex device);
// Sets it and returns the one before.
c10::Stream exchange_stream(c10::Stream stream);
int stream_priority(c10::Stream stream);

// A stream that no pool hands out, for a service of its own. Given back, another may get it; raises
// when kOwnStreams are out.
inline constexpr int kOwnStreams = 512;
c10::Stream acquire_stream(c10::DeviceIndex device);
void release_stream(c10::Stream stream);
// Announces one packet that will be submitted to an acquired stream, and returns the value that
// the stream's queue then has: others can wait for it already. Such a stream gets no other packets.
uint64_t promise(c10::Stream stream);
// The exception that the device's next synchronisation raises, unless it has one already; null
// takes that back.
void post_error(c10::DeviceIndex device, std::exception_ptr error);

// The driver's queue behind a stream; made at first use.
driver::Queue* queue_of(c10::Stream stream);

// Queues a packet on the current stream of a device, or records it if that stream is captured
// (runtime/capture.h); returns its timeline value, 0 when recorded.
uint64_t submit(c10::DeviceIndex device, const driver::Packet& packet);
uint64_t submit(c10::Stream stream, const driver::Packet& packet);

// Whether everything queued so far is done.
bool query(c10::Stream stream);
// Waits for it. A fault that a kernel of this stream reported is thrown here, once, as
// c10::AcceleratorError with the operator, its shapes and the Python line.
void synchronize(c10::Stream stream);
void synchronize_device(c10::DeviceIndex device);
// The same without throwing: faults stay to be told.
void wait_for_queues(c10::DeviceIndex device);

// A point of a stream's timeline.
struct CapturePoint;
struct Event {
  c10::DeviceIndex device = -1;
  driver::Queue* queue = nullptr;
  uint64_t value = 0;
  driver::Stamp* stamp = nullptr;          // null without timing
  std::shared_ptr<CapturePoint> captured;  // instead of queue and value, in a graph capture
  ~Event();
};

// Marks the stream's present end; `timing` also takes the time when it is reached.
void record(Event& event, c10::Stream stream, bool timing);
// Holds the stream until the event is reached, without the host.
void block(const Event& event, c10::Stream stream);
bool query(const Event& event);
void synchronize(const Event& event);
// Milliseconds from a to b, both recorded with timing and reached.
double elapsed_ms(const Event& a, const Event& b);

// Kernels queued by this process since it started.
uint64_t launch_count();

}  // namespace trn::runtime
