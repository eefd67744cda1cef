// The current device and the way to the driver.
#include "runtime/device.h"

#include <c10/util/Exception.h>

#include <algorithm>
#include <atomic>
#include <limits>

#include "base/option.h"
#include "base/spoken.h"

namespace trn::runtime {
namespace {

// The name has to stand before torch parses its first "trn", whoever loads this library.
[[maybe_unused]] const bool named = [] {
  c10::register_privateuse1_backend("trn");
  return true;
}();

thread_local c10::DeviceIndex current = 0;
std::atomic<bool> opened{false};
std::atomic<int> limit{std::numeric_limits<c10::DeviceIndex>::max()};

const std::vector<driver::Device*>& open_devices() {
  Status why;
  const auto& all = driver::devices(&why);
  TORCH_CHECK(why.ok(), "TRN driver '", options().driver, "' cannot be used: ", why.message());
  opened.store(true, std::memory_order_release);
  return all;
}

}  // namespace

c10::DeviceIndex device_count() noexcept {
  const Options& o = options();
  // The drivers in this library have as many devices as were asked for; another is asked itself.
  const bool own = o.driver == "host" || o.driver == "null";
  const int all = own ? o.devices : static_cast<int>(driver::devices().size());
  return static_cast<c10::DeviceIndex>(std::min(all, limit.load(std::memory_order_relaxed)));
}

void limit_devices(int n) noexcept { limit.store(std::max(n, 0), std::memory_order_relaxed); }

c10::DeviceIndex current_device() noexcept { return current; }

void check_ordinal(int64_t index) {
  if (index < device_count()) return;
  throw c10::AcceleratorError(
      {__func__, __FILE__, static_cast<uint32_t>(__LINE__)}, /*code=*/101,
      c10::str(spoken_platform(), " error: invalid device ordinal (", spoken_device(), ":", index,
               " of ", static_cast<int>(device_count()), " devices)"));
}

void set_device(c10::DeviceIndex index) {
  if (index < 0 || index == current) return;
  check_ordinal(index);
  current = index;
}

void set_device_unchecked(c10::DeviceIndex index) noexcept {
  if (index >= 0) current = index;
}

driver::Device& device(c10::DeviceIndex index) {
  TORCH_CHECK(!driver::in_forked_child(), "Cannot re-initialize ", spoken_platform(),
              " in forked subprocess. To use ", spoken_platform(),
              " with multiprocessing, you must use the 'spawn' start method");
  static const auto& all = open_devices();
  if (index < 0) index = current;
  check_ordinal(index);
  return *all[index];
}

bool is_initialized() noexcept { return opened.load(std::memory_order_acquire); }
bool in_bad_fork() noexcept { return driver::in_forked_child(); }

c10::DeviceIndex device_of_pointer(const void* p) noexcept {
  if (!is_initialized()) return -1;
  const auto& all = driver::devices();
  for (size_t i = 0; i < all.size(); ++i)
    if (all[i]->owns(p)) return static_cast<c10::DeviceIndex>(i);
  return -1;
}

}  // namespace trn::runtime
