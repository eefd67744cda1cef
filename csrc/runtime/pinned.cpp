// PyTorch's caching template with streams and events of this device.
#include "runtime/pinned.h"

#include <c10/core/Event.h>

#include <cstdlib>
#include <map>
#include <mutex>

#include "runtime/capture.h"

namespace trn::runtime {
namespace {

// Blocks in address order, to answer for pointers into the middle of one.
struct Blocks {
  std::mutex mutex;
  std::map<const char*, size_t> by_address;
};
Blocks& blocks() {
  static auto* b = new Blocks;
  return *b;
}

using HostBlock = at::HostBlock<c10::Stream>;

class PinnedImpl final : public at::CachingHostAllocatorImpl<c10::Stream, c10::Event> {
 private:
  void allocate_host_memory(size_t size, void** ptr) override {
    constexpr size_t kPage = 4096;
    *ptr = std::aligned_alloc(kPage, (size + kPage - 1) / kPage * kPage);
    TORCH_CHECK(*ptr, "cannot allocate ", size, " bytes of pinned host memory");
    std::lock_guard lock(blocks().mutex);
    blocks().by_address[static_cast<const char*>(*ptr)] = size;
  }
  void free_block(HostBlock* block) override {
    {
      std::lock_guard lock(blocks().mutex);
      blocks().by_address.erase(static_cast<const char*>(block->ptr_));
    }
    std::free(block->ptr_);
  }
  void record_stream(std::optional<std::vector<c10::Event>>& events, c10::Stream stream) override {
    c10::Event event(c10::kPrivateUse1);
    event.record(stream);
    events->push_back(std::move(event));
  }
  bool query_event(c10::Event& event) override { return event.query(); }
  c10::Stream get_current_stream() const override { return current_stream(-1); }
  bool stream_is_capturing(c10::Stream s) const override { return capture_of(s) != nullptr; }
};

void pinned_deleter(void* ptr);
struct PinnedAllocator final : at::CachingHostAllocatorInterface<PinnedImpl, pinned_deleter> {};

PinnedAllocator& instance() {
  static auto* a = new PinnedAllocator;
  return *a;
}
void pinned_deleter(void* ptr) { instance().free(ptr); }

[[maybe_unused]] const at::HostAllocatorRegistry<c10::kPrivateUse1> registered(&instance());

}  // namespace

c10::Allocator* pinned_allocator() { return &instance(); }

at::HostStats pinned_stats() { return instance().get_stats(); }
void reset_accumulated_pinned_stats() { instance().reset_accumulated_stats(); }
void reset_peak_pinned_stats() { instance().reset_peak_stats(); }

bool is_pinned(const void* p) {
  std::lock_guard lock(blocks().mutex);
  auto it = blocks().by_address.upper_bound(static_cast<const char*>(p));
  if (it == blocks().by_address.begin()) return false;
  --it;
  return static_cast<const char*>(p) < it->first + it->second;
}

}  // namespace trn::runtime
