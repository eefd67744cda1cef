// Storages that several processes map: torch.multiprocessing sends a descriptor, not the values.
#pragma once

#include <c10/core/Storage.h>

namespace trn::runtime {

// The descriptor behind a device's storage, which keeps it; -1 where the driver cannot share or
// there are no bytes. A storage that is not shared yet is moved, with all its views, to memory that
// can be, after all that is queued on the device: addresses taken before are void then, so it
// raises while a captured graph holds one of them. Not counted among the allocator's bytes.
int share(const c10::Storage& storage);

// A storage over the first `bytes` of what share() gave, in this process or another; takes the
// descriptor over. Freed when the device is done with it, which the last holder waits for, as
// CUDA's cudaIpcCloseMemHandle does.
c10::Storage open_shared(int fd, int64_t bytes, c10::DeviceIndex device);

}  // namespace trn::runtime
