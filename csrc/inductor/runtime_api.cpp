// The C functions of compiled packages, over the runtime.
#include "inductor/runtime_api.h"

#include <ATen/ops/from_blob.h>
#include <c10/core/Event.h>

#include <mutex>
#include <string>
#include <type_traits>
#include <unordered_map>

#include "runtime/allocator.h"
#include "runtime/capture.h"
#include "runtime/device.h"
#include "runtime/stream.h"

struct TrnEvent {
  c10::Event event{c10::DeviceType::PrivateUse1};
};

namespace {

thread_local std::string last_words;

// What packages hold, by address, since the allocator frees by block. Never destroyed: a package
// may go after this library's statics.
std::mutex held_mutex;
auto& held_memory = *new std::unordered_map<void*, at::DataPtr>;

// What the function returns, or success where it returns nothing.
template <class Function>
int coded(const Function& function) {
  try {
    if constexpr (std::is_void_v<decltype(function())>) return function(), kTrnSuccess;
    else return function();
  } catch (const std::exception& error) {
    last_words = error.what();
    return kTrnFailed;
  }
}

at::Tensor bytes_at(void* memory, size_t bytes) {
  const c10::DeviceIndex index = trn::runtime::device_of_pointer(memory);
  const c10::Device device =
      index < 0 ? c10::Device(at::kCPU) : c10::Device(at::kPrivateUse1, index);
  return at::for_blob(memory, {static_cast<int64_t>(bytes)})
      .options(at::device(device).dtype(at::kByte))
      .target_device(device)
      .make_tensor();
}

}  // namespace

int trn_malloc(void** memory, size_t bytes) {
  return coded([&] {
    at::DataPtr held = trn::runtime::allocator()->allocate(bytes);
    *memory = held.get();
    const std::lock_guard lock(held_mutex);
    held_memory[*memory] = std::move(held);
  });
}

int trn_free(void* memory) {
  return coded([&] {
    if (!memory) return;
    trn::runtime::wait_for_queues(trn::runtime::device_of_pointer(memory));
    const std::lock_guard lock(held_mutex);
    TORCH_CHECK(held_memory.erase(memory), "trn_free of memory that trn_malloc did not give");
  });
}

int trn_memcpy(void* to, const void* from, size_t bytes) {
  return coded([&] {
    // Other streams may write the source or read the target still.
    trn::runtime::synchronize_device(trn::runtime::current_device());
    bytes_at(to, bytes).copy_(bytes_at(const_cast<void*>(from), bytes));
    trn::runtime::synchronize(trn::runtime::current_stream(-1));
  });
}

int trn_get_device(int* index) {
  *index = trn::runtime::current_device();
  return kTrnSuccess;
}

int trn_set_device(int index) {
  return coded([&] { trn::runtime::set_device(static_cast<c10::DeviceIndex>(index)); });
}

int trn_synchronize() {
  return coded([] { trn::runtime::synchronize(trn::runtime::current_stream(-1)); });
}

int trn_event_create(TrnEvent** event) {
  return coded([&] { *event = new TrnEvent; });
}

int trn_event_record(TrnEvent* event) {
  return coded([&] {
    const c10::Stream stream = trn::runtime::current_stream(-1);
    // A package asks whether a call is done, to run another; a recorded one is done at once.
    if (!trn::runtime::capture_of(stream)) event->event.record(stream);
  });
}

int trn_event_query(TrnEvent* event) {
  return coded([&] { return event->event.query() ? kTrnSuccess : kTrnNotReady; });
}

int trn_event_synchronize(TrnEvent* event) {
  return coded([&] { event->event.synchronize(); });
}

int trn_event_destroy(TrnEvent* event) {
  return coded([&] { delete event; });
}

const char* trn_error_words(int code) {
  if (code == kTrnSuccess) return "no error";
  return code == kTrnNotReady ? "device not ready" : last_words.c_str();
}
