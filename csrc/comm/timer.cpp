// What DistributedDataParallel measures its iterations with: events on the device's stream.
#include <array>
#include <torch/csrc/distributed/c10d/reducer_timer.hpp>

#include "runtime/stream.h"

namespace trn::comm {
namespace {

constexpr double kNanosecondsPerMillisecond = 1e6;

class DeviceTimer final : public c10d::Timer {
 public:
  explicit DeviceTimer(c10::Device device) : device_(device.index()) {}

  void record(Event event) override {
    Timer::record(event);  // the host's time, which the log has too
    runtime::record(at(event), runtime::current_stream(device_), /*timing=*/true);
  }

  std::optional<int64_t> measureDifference(Event start, Event end) override {
    const auto &first = at(start), &last = at(end);
    // Without a backward pass, or under no_sync(), there is nothing to measure; the times of a
    // captured iteration belong to its replays.
    if (!first.stamp || !last.stamp || first.captured || last.captured) return std::nullopt;
    runtime::synchronize(last);
    runtime::synchronize(first);
    const double milliseconds = runtime::elapsed_ms(first, last);
    if (milliseconds < 0) return std::nullopt;  // the end is an earlier iteration's
    return static_cast<int64_t>(milliseconds * kNanosecondsPerMillisecond);
  }

 private:
  runtime::Event& at(Event event) { return events_[static_cast<size_t>(event)]; }

  const c10::DeviceIndex device_;
  std::array<runtime::Event, 5> events_;
};

}  // namespace
}  // namespace trn::comm

namespace c10d {
// The registry's macro names it without its namespace.
C10_REGISTER_TYPED_CLASS(TimerRegistry, c10::kPrivateUse1, trn::comm::DeviceTimer);
}  // namespace c10d
