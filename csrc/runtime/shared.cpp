// Moving storages to memory that the driver shares, and opening what another process shared.
#include "runtime/shared.h"

#include <c10/util/Exception.h>
#include <unistd.h>

#include "runtime/allocator.h"
#include "runtime/device.h"
#include "runtime/graph.h"
#include "runtime/stream.h"
#include "runtime/strict.h"

namespace trn::runtime {
namespace {

struct Shared {
  void* ptr;
  int fd;
  c10::DeviceIndex device;
};

void free_shared(void* context) {
  const std::unique_ptr<Shared> shared(static_cast<Shared*>(context));
  close(shared->fd);
  if (driver::in_forked_child()) return;
  if (C10_UNLIKELY(strict::enabled())) strict::freed(shared->ptr);
  wait_for_queues(shared->device);
  const Status status = device(shared->device).release(shared->ptr);
  if (!status.ok()) TORCH_WARN(status.message());
}

c10::DataPtr own(void* ptr, int64_t bytes, int fd, c10::DeviceIndex index) {
  if (C10_UNLIKELY(strict::enabled())) strict::mapped(ptr, bytes);
  return {ptr, new Shared{ptr, fd, index}, &free_shared, c10::Device(c10::kPrivateUse1, index)};
}

// take(), once more with the cache's memory given back if there was none.
template <class F>
auto take_or_make_room(F take) {
  auto taken = take();
  if (taken.status().code() != Code::out_of_memory) return taken;
  allocator()->emptyCache();
  return take();
}

}  // namespace

int share(const c10::Storage& storage) {
  c10::StorageImpl* impl = storage.unsafeGetStorageImpl();
  const c10::DataPtr& old = impl->data_ptr();
  if (old.get_deleter() == &free_shared) return static_cast<Shared*>(old.get_context())->fd;
  const c10::DeviceIndex index = old.device().index();
  const auto bytes = static_cast<int64_t>(impl->nbytes());
  if (bytes == 0) return -1;
  TORCH_CHECK(!graphs_use(old.get(), bytes),
              "a captured graph reads or writes this tensor where it is: it cannot move to memory "
              "that processes share. Send a clone(), or share it before the capture.");
  synchronize_device(index);
  auto memory = take_or_make_room([&] { return device(index).allocate_shared(bytes); });
  if (memory.status().code() == Code::unavailable) return -1;
  TORCH_CHECK_WITH(OutOfMemoryError, memory.ok(), memory.status().message());
  const auto [ptr, fd] = memory.value();
  c10::DataPtr moved = own(ptr, bytes, fd, index);
  allocator()->copy_data(ptr, old.get(), bytes);
  synchronize(current_stream(index));
  impl->set_data_ptr(std::move(moved));
  return fd;
}

c10::Storage open_shared(int fd, int64_t bytes, c10::DeviceIndex index) {
  auto ptr = take_or_make_room([&] { return device(index).open_shared(fd, bytes); });
  if (!ptr.ok()) {
    close(fd);
    TORCH_CHECK_WITH(OutOfMemoryError, ptr.status().code() != Code::out_of_memory,
                     ptr.status().message());
    TORCH_CHECK(false, ptr.status().message());
  }
  return c10::Storage(c10::Storage::use_byte_size_t(), bytes, own(ptr.value(), bytes, fd, index),
                      allocator(), /*resizable=*/false);
}

}  // namespace trn::runtime
