// Devices as torch sees them: how many, which is current, and the driver's object behind each.
#pragma once

#include <c10/core/Device.h>

#include "driver/driver.h"

namespace trn::runtime {

// How many devices TRN_DRIVER and TRN_DEVICES give, at most `limit_devices`. Opens nothing, never
// throws.
c10::DeviceIndex device_count() noexcept;
// Shows only the first n devices from now on.
void limit_devices(int n) noexcept;

// The calling thread's device, 0 until set.
c10::DeviceIndex current_device() noexcept;
// Raises c10::AcceleratorError, as CUDA does, for an index that no device has.
void check_ordinal(int64_t index);
// Raises so; negative is ignored.
void set_device(c10::DeviceIndex index);
// The same without the check; negative is ignored. For destructors.
void set_device_unchecked(c10::DeviceIndex index) noexcept;

// The driver's device; -1 is the current one. Opens the driver at the first call. Raises when
// there is no such device, when the driver cannot be opened, and in the child of a fork.
driver::Device& device(c10::DeviceIndex index);

// Whether any device has been opened in this process; false never opens one.
bool is_initialized() noexcept;
// Whether the devices belong to the parent of this process.
bool in_bad_fork() noexcept;

// Which device owns the memory at p, or -1.
c10::DeviceIndex device_of_pointer(const void* p) noexcept;

}  // namespace trn::runtime
