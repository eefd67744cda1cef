// A device's memory: one reserved range of addresses, cut into allocations.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <set>

#include "base/status.h"
#include "driver/driver.h"

namespace trn::driver {

// Thread-safe. In isolation mode the addresses given out are mapped without any right, and the
// driver's kernels go through a second mapping of the same pages at `alias()`.
class Memory {
 public:
  static constexpr int64_t kAlign = 512;

  // Reserves `capacity` bytes; `label` names the device in messages.
  Memory(int64_t capacity, bool isolate, std::string label);
  ~Memory();
  Memory(const Memory&) = delete;

  Result<void*> allocate(int64_t bytes);
  // The same over pages of their own that another Memory, of any process, can map with
  // open_shared() and the descriptor, which the caller closes. release() unmaps either.
  Result<SharedMemory> allocate_shared(int64_t bytes);
  Result<void*> open_shared(int fd, int64_t bytes);
  Status release(void* ptr);
  MemoryInfo info() const;
  bool owns(const void* p) const { return p >= base_ && p < base_ + capacity_; }

  // The address through which the driver reads and writes what users call p.
  template <class T>
  T* alias(T* p) const {
    return delta_ && owns(p) ? reinterpret_cast<T*>(reinterpret_cast<intptr_t>(p) + delta_) : p;
  }
  bool isolated() const { return delta_ != 0; }

 private:
  Result<int64_t> take(int64_t bytes, int64_t align);  // an offset; the caller holds the lock
  void give(int64_t start, int64_t bytes);             // likewise
  bool map_pages(int64_t start, int64_t bytes, int fd, int64_t at);

  char* base_ = nullptr;
  int64_t capacity_;
  int fd_ = -1;  // of the pages, in isolation mode
  intptr_t delta_ = 0;
  int64_t used_ = 0;
  std::string label_;
  mutable std::mutex mutex_;
  std::map<int64_t, int64_t> free_;       // offset -> bytes, never adjacent
  std::map<int64_t, int64_t> allocated_;  // offset -> bytes
  std::set<int64_t> shared_;              // which of them have pages of their own
};

}  // namespace trn::driver
