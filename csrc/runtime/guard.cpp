// c10's device guard for trn: devices, streams and events through one virtual table.
#include <c10/core/impl/DeviceGuardImplInterface.h>

#include "runtime/allocator.h"
#include "runtime/capture.h"

namespace trn::runtime {
namespace {

struct Guard final : c10::impl::DeviceGuardImplInterface {
  c10::DeviceType type() const override { return c10::kPrivateUse1; }

  c10::Device exchangeDevice(c10::Device d) const override {
    const c10::Device before = getDevice();
    if (d != before) setDevice(d);
    return before;
  }
  c10::Device getDevice() const override {
    return c10::Device(c10::kPrivateUse1, current_device());
  }
  void setDevice(c10::Device d) const override {
    TORCH_CHECK(d.is_privateuseone(), "expected a trn device, got ", d);
    set_device(d.index());
  }
  void uncheckedSetDevice(c10::Device d) const noexcept override {
    set_device_unchecked(d.index());
  }
  c10::DeviceIndex deviceCount() const noexcept override { return device_count(); }

  // Every type that a tensor can have is stored and copied.
  c10::DeviceCapability getDeviceCapability(c10::Device) const override { return {}; }

  c10::Stream getStream(c10::Device d) const override { return current_stream(d.index()); }
  c10::Stream getDefaultStream(c10::Device d) const override { return default_stream(d.index()); }
  c10::Stream getStreamFromGlobalPool(c10::Device d, bool high) const override {
    return stream_from_pool(d.index(), high ? kHighestPriority : 0);
  }
  c10::Stream getNewStream(c10::Device d, int priority) const override {
    return stream_from_pool(d.index(), priority);
  }
  c10::Stream exchangeStream(c10::Stream s) const override { return exchange_stream(s); }
  void* getStreamNativeHandle(const c10::Stream s) const override { return queue_of(s); }
  bool queryStream(const c10::Stream& s) const override { return query(s); }
  void synchronizeStream(const c10::Stream& s) const override { synchronize(s); }
  void synchronizeDevice(c10::DeviceIndex d) const override { synchronize_device(d); }
  bool isStreamCapturing(const c10::Stream& s) const override { return capture_of(s) != nullptr; }

  void record(void** event, const c10::Stream& s, c10::DeviceIndex,
              c10::EventFlag flag) const override {
    if (!*event) *event = new Event;
    runtime::record(*static_cast<Event*>(*event), s, flag == c10::EventFlag::BACKEND_DEFAULT);
  }
  void block(void* event, const c10::Stream& s) const override {
    if (event) runtime::block(*static_cast<Event*>(event), s);
  }
  bool queryEvent(void* event) const override {
    return !event || query(*static_cast<Event*>(event));
  }
  void synchronizeEvent(void* event) const override {
    if (event) synchronize(*static_cast<Event*>(event));
  }
  void destroyEvent(void* event, c10::DeviceIndex) const noexcept override {
    delete static_cast<Event*>(event);
  }
  double elapsedTime(void* a, void* b, c10::DeviceIndex) const override {
    TORCH_CHECK(a && b, "Both events must be recorded before calculating elapsed time.");
    return elapsed_ms(*static_cast<Event*>(a), *static_cast<Event*>(b));
  }
  void recordDataPtrOnStream(const c10::DataPtr& p, const c10::Stream& s) const override {
    allocator()->recordStream(p, s);
  }
};

C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard);

}  // namespace
}  // namespace trn::runtime
