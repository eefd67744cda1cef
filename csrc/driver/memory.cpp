// Reserved address ranges with best-fit allocation.
#include "driver/memory.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace trn::driver {
namespace {

constexpr int64_t kHugePage = 2 << 20;

int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }
int64_t page_bytes() { return sysconf(_SC_PAGESIZE); }

char* map(int64_t bytes, int protection, int flags, int fd) {
  void* p = mmap(nullptr, bytes, protection, flags | MAP_NORESERVE, fd, 0);
  return p == MAP_FAILED ? nullptr : static_cast<char*>(p);
}

}  // namespace

Memory::Memory(int64_t capacity, bool isolate, std::string label)
    : capacity_(round_up(capacity, kHugePage)), label_(std::move(label)) {
  if (isolate) {
    fd_ = memfd_create("trn", MFD_CLOEXEC);
    if (fd_ >= 0 && ftruncate(fd_, capacity_) == 0) {
      base_ = map(capacity_, PROT_NONE, MAP_SHARED, fd_);
      char* mine = map(capacity_, PROT_READ | PROT_WRITE, MAP_SHARED, fd_);
      if (base_ && mine) delta_ = mine - base_;
    }
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
  if (fd_ >= 0) close(fd_);
  // The slack before an aligned base stays mapped: it was never touched and costs no memory.
  if (!base_) return;
  munmap(base_, capacity_);
  if (delta_) munmap(base_ + delta_, capacity_);
}

Result<int64_t> Memory::take(int64_t bytes, int64_t align) {
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
  return start;
}

void Memory::give(int64_t start, int64_t bytes) {
  allocated_.erase(start);
  used_ -= bytes;
  auto after = free_.lower_bound(start);
  if (after != free_.end() && after->first == start + bytes) {
    bytes += after->second;
    after = free_.erase(after);
  }
  if (after != free_.begin()) {
    auto before = std::prev(after);
    if (before->first + before->second == start) {
      before->second += bytes;
      return;
    }
  }
  free_[start] = bytes;
}

Result<void*> Memory::allocate(int64_t bytes) {
  if (bytes <= 0)
    return Status(Code::invalid_argument, "cannot allocate " + std::to_string(bytes) + " bytes");
  bytes = round_up(bytes, kAlign);
  std::lock_guard lock(mutex_);
  auto start = take(bytes, bytes >= kHugePage ? kHugePage : kAlign);
  if (!start.ok()) return start.status();
  // Page faults dominate first use of large blocks; huge pages make them 512 times rarer.
  if (bytes >= kHugePage && !delta_) madvise(base_ + start.value(), bytes, MADV_HUGEPAGE);
  return static_cast<void*>(base_ + start.value());
}

// Puts the pages of a descriptor from `at` on, or fresh ones of the process (-1), at an offset.
bool Memory::map_pages(int64_t start, int64_t bytes, int fd, int64_t at) {
  const int flags = MAP_FIXED | MAP_NORESERVE | (fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED);
  const int all = PROT_READ | PROT_WRITE;
  if (mmap(base_ + start, bytes, delta_ ? PROT_NONE : all, flags, fd, at) == MAP_FAILED)
    return false;
  return !delta_ || mmap(base_ + delta_ + start, bytes, all, flags, fd, at) != MAP_FAILED;
}

Result<SharedMemory> Memory::allocate_shared(int64_t bytes) {
  const int fd = memfd_create("trn shared", MFD_CLOEXEC);
  if (fd < 0 || ftruncate(fd, bytes) != 0) {
    const std::string why = std::strerror(errno);
    if (fd >= 0) close(fd);
    return Status(Code::unavailable, label_ + ": no memory to share: " + why);
  }
  auto ptr = open_shared(fd, bytes);
  if (ptr.ok()) return SharedMemory{ptr.value(), fd};
  close(fd);
  return ptr.status();
}

Result<void*> Memory::open_shared(int fd, int64_t bytes) {
  struct stat found;
  if (bytes <= 0 || fstat(fd, &found) != 0 || found.st_size < bytes)
    return Status(Code::invalid_argument, label_ + ": no shared memory of " +
                                              std::to_string(bytes) + " bytes behind descriptor " +
                                              std::to_string(fd));
  bytes = round_up(bytes, page_bytes());
  std::lock_guard lock(mutex_);
  auto start = take(bytes, page_bytes());
  if (!start.ok()) return start.status();
  if (!map_pages(start.value(), bytes, fd, 0)) {
    const Status why(Code::unavailable, label_ + ": cannot map: " + std::strerror(errno));
    give(start.value(), bytes);
    return why;
  }
  shared_.insert(start.value());
  return static_cast<void*>(base_ + start.value());
}

Status Memory::release(void* ptr) {
  std::lock_guard lock(mutex_);
  const int64_t start = static_cast<char*>(ptr) - base_;
  const auto found = allocated_.find(start);
  if (!ptr || found == allocated_.end())
    return Status(Code::invalid_argument, label_ + ": release of memory that is not allocated");
  const int64_t bytes = found->second;
  if (shared_.erase(start)) {
    if (!map_pages(start, bytes, fd_, start))
      return Status(Code::unavailable, label_ + ": cannot unmap: " + std::strerror(errno));
  } else {
    // Give the pages back to the system; the addresses stay ours.
    const int64_t page = page_bytes();
    const int64_t first = round_up(start, page), last = (start + bytes) / page * page;
    const int advice = delta_ ? MADV_REMOVE : MADV_DONTNEED;
    if (last > first) madvise(base_ + delta_ + first, last - first, advice);
  }
  give(start, bytes);
  return Status();
}

MemoryInfo Memory::info() const {
  std::lock_guard lock(mutex_);
  return {capacity_ - used_, capacity_};
}

}  // namespace trn::driver
