// A device's memory: one reserved range of addresses, cut into allocations.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>

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
  char* base_ = nullptr;
  int64_t capacity_;
  intptr_t delta_ = 0;
  int64_t used_ = 0;
  std::string label_;
  mutable std::mutex mutex_;
  std::map<int64_t, int64_t> free_;       // offset -> bytes, never adjacent
  std::map<int64_t, int64_t> allocated_;  // offset -> bytes
};

}  // namespace trn::driver
