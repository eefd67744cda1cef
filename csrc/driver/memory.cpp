// Reserved address ranges with best-fit allocation.
#include "driver/memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace trn::driver {
namespace {

constexpr int64_t kHugePage = 2 << 20;

int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

char* map(int64_t bytes, int protection, int flags, int fd) {
  void* p = mmap(nullptr, bytes, protection, flags | MAP_NORESERVE, fd, 0);
  return p == MAP_FAILED ? nullptr : static_cast<char*>(p);
}

}  // namespace

Memory::Memory(int64_t capacity, bool isolate, std::string label)
    : capacity_(round_up(capacity, kHugePage)), label_(std::move(label)) {
  if (isolate) {
    const int fd = memfd_create("trn", MFD_CLOEXEC);
    if (fd >= 0 && ftruncate(fd, capacity_) == 0) {
      base_ = map(capacity_, PROT_NONE, MAP_SHARED, fd);
      char* mine = map(capacity_, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
      if (base_ && mine) delta_ = mine - base_;
    }
    if (fd >= 0) close(fd);
  } else {
    // Room to begin on a huge page, so that large allocations can be backed by them.
    base_ = map(capacity_ + kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    if (base_)
      base_ = reinterpret_cast<char*>(round_up(reinterpret_cast<intptr_t>(base_), kHugePage));
  }
  if (!base_ || (isolate && !delta_)) capacity_ = 0;  // every allocate() then says why
  if (capacity_) free_[0] = capacity_;
}

Memory::~Memory() {
  // The slack before an aligned base stays mapped: it was never touched and costs no memory.
  if (!base_) return;
  munmap(base_, capacity_);
  if (delta_) munmap(base_ + delta_, capacity_);
}

Result<void*> Memory::allocate(int64_t bytes) {
  if (bytes <= 0)
    return Status(Code::invalid_argument, "cannot allocate " + std::to_string(bytes) + " bytes");
  bytes = round_up(bytes, kAlign);
  const int64_t align = bytes >= kHugePage ? kHugePage : kAlign;
  std::lock_guard lock(mutex_);
  auto best = free_.end();
  for (auto it = free_.begin(); it != free_.end(); ++it) {
    const int64_t start = round_up(it->first, align);
    if (start + bytes > it->first + it->second) continue;
    if (best == free_.end() || it->second < best->second) best = it;
  }
  if (best == free_.end())
    return Status(Code::out_of_memory, label_ + ": " + std::to_string(bytes) + " bytes asked, " +
                                           std::to_string(capacity_ - used_) + " of " +
                                           std::to_string(capacity_) + " free");
  const int64_t begin = best->first, end = begin + best->second;
  const int64_t start = round_up(begin, align);
  free_.erase(best);
  if (start > begin) free_[begin] = start - begin;
  if (start + bytes < end) free_[start + bytes] = end - start - bytes;
  allocated_[start] = bytes;
  used_ += bytes;
  // Page faults dominate first use of large blocks; huge pages make them 512 times rarer.
  if (bytes >= kHugePage && !delta_) madvise(base_ + start, bytes, MADV_HUGEPAGE);
  return static_cast<void*>(base_ + start);
}

Status Memory::release(void* ptr) {
  std::lock_guard lock(mutex_);
  int64_t start = static_cast<char*>(ptr) - base_;
  const auto found = allocated_.find(start);
  if (!ptr || found == allocated_.end())
    return Status(Code::invalid_argument, label_ + ": release of memory that is not allocated");
  int64_t bytes = found->second;
  allocated_.erase(found);
  used_ -= bytes;
  // Give the pages back to the system; the addresses stay ours.
  const int64_t page = sysconf(_SC_PAGESIZE);
  const int64_t first = round_up(start, page), last = (start + bytes) / page * page;
  if (last > first) madvise(base_ + delta_ + first, last - first, delta_ ? MADV_REMOVE : MADV_DONTNEED);
  auto after = free_.lower_bound(start);
  if (after != free_.end() && after->first == start + bytes) {
    bytes += after->second;
    after = free_.erase(after);
  }
  if (after != free_.begin()) {
    auto before = std::prev(after);
    if (before->first + before->second == start) {
      before->second += bytes;
      return Status();
    }
  }
  free_[start] = bytes;
  return Status();
}

MemoryInfo Memory::info() const {
  std::lock_guard lock(mutex_);
  return {capacity_ - used_, capacity_};
}

}  // namespace trn::driver
