// A ring with several producers and one consumer, and waiting that spins before it sleeps.
#include "driver/queue.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <thread>
#include <utility>

#include "base/fence.h"
#include "base/spin.h"
#include "base/wait.h"

namespace trn::driver {
namespace {

// Small launches come every microsecond or two: sleeping between them would cost more than they.
constexpr int kConsumerSpin = 50;
constexpr int kWaiterSpin = 50;

// A packed packet: what its kind needs of the fixed part, the ints and reals in use, and of each
// operand the dimensions it has. `lines` of a record without a packet are skipped.
struct Record {
  uint32_t lines;
  uint32_t has_packet;
};

// Calls visit(address, bytes) for every piece of a packet that is stored, in order. The pieces
// that tell how many others there are come before them, so that it reads as well as it writes.
template <class Visit>
inline void pieces(Packet& p, Visit visit) {
  visit(&p, offsetof(Packet, call));
  if (p.kind == PacketKind::upload) return visit(&p.call, static_cast<size_t>(p.bytes));
  if (p.kind != PacketKind::kernel) return;
  Call& call = p.call;
  visit(&call, offsetof(Call, ints));
  visit(call.ints, call.nints * sizeof(call.ints[0]));
  visit(call.reals, call.nreals * sizeof(call.reals[0]));
  for (int i = 0; i < call.noperands; ++i) {
    Operand& o = call.operand[i];
    visit(&o, offsetof(Operand, sizes));
    for (int d = 0; d < o.ndim; ++d) {
      visit(&o.sizes[d], sizeof(int64_t));
      visit(&o.strides[d], sizeof(int64_t));
    }
  }
}

// Spins until done() or for the given time; whether it became true. After the first moment the
// core is offered to others: on a small machine the work waited for may need it.
template <class Done>
bool spin(Done done, int microseconds) {
  using Clock = std::chrono::steady_clock;
  for (int i = 0; i < 200; ++i) {
    if (done()) return true;
    spin_pause();
  }
  const auto until = Clock::now() + std::chrono::microseconds(microseconds);
  do {
    for (int i = 0; i < 16; ++i) {
      if (done()) return true;
      spin_pause();
    }
    std::this_thread::yield();
  } while (Clock::now() < until);
  return false;
}

}  // namespace

// Room for a record of `lines` neighbouring lines; waits for it.
Queue::Line* Queue::reserve(uint64_t lines) {
  const uint64_t to_end = kLines - written_ % kLines;
  const uint64_t skipped = to_end < lines ? to_end : 0;
  for (;;) {
    if (written_ + skipped + lines - known_read_ <= kLines) break;
    known_read_ = read_.load(std::memory_order_acquire);
    if (written_ + skipped + lines - known_read_ <= kLines) break;
    // A full ring is left to drain by half: one wake-up then pays for a thousand packets.
    const uint64_t done = done_.load(std::memory_order_acquire);
    wait(done + (tail_.load(std::memory_order_relaxed) - done + 1) / 2);
  }
  if (skipped) {
    const Record record{static_cast<uint32_t>(skipped), 0};
    std::memcpy(ring_[written_ % kLines].bytes, &record, sizeof(record));
    written_ += skipped;
  }
  return &ring_[written_ % kLines];
}

// One at a time. Who is before may have found the ring full, and wait for long.
void Queue::become_producer() {
  const auto mine = [&] { return !producing_.test_and_set(std::memory_order_acquire); };
  if (mine() || spin(mine, kWaiterSpin)) return;
  const WaitScope waiting;
  while (!mine()) std::this_thread::yield();
}

uint64_t Queue::push(const Packet& packet) {
  size_t bytes = sizeof(Record);
  Packet& p = const_cast<Packet&>(packet);  // read only
  pieces(p, [&](void*, size_t n) { bytes += n; });
  const Record record{static_cast<uint32_t>((bytes + sizeof(Line) - 1) / sizeof(Line)), 1};
  become_producer();
  char* to = reserve(record.lines)->bytes;
  std::memcpy(to, &record, sizeof(record));
  to += sizeof(record);
  pieces(p, [&](void* from, size_t n) {
    std::memcpy(to, from, n);
    to += n;
  });
  written_ += record.lines;
  const uint64_t tail = tail_.load(std::memory_order_relaxed) + 1;
  tail_.store(tail, std::memory_order_release);
  producing_.clear(std::memory_order_release);
  asymmetric_fence_light();
  if (consumer_asleep_.load(std::memory_order_relaxed)) {
    std::lock_guard lock(mutex_);
    pushed_.notify_one();
  }
  return tail;
}

Packet* Queue::front() {
  const uint64_t head = done_.load(std::memory_order_relaxed);
  const auto ready = [&] {
    return tail_.load(std::memory_order_acquire) != head || closed_.load(std::memory_order_acquire);
  };
  if (!spin(ready, kConsumerSpin)) {
    std::unique_lock lock(mutex_);
    // Set before the last look: a producer either sees the flag or is seen by that look.
    consumer_asleep_.store(true, std::memory_order_relaxed);
    asymmetric_fence_heavy();
    pushed_.wait(lock, ready);
    consumer_asleep_.store(false, std::memory_order_relaxed);
  }
  if (tail_.load(std::memory_order_acquire) == head) return nullptr;
  uint64_t at = read_.load(std::memory_order_relaxed);
  front_lines_ = 0;
  Record record;
  for (;;) {
    std::memcpy(&record, ring_[at % kLines].bytes, sizeof(record));
    front_lines_ += record.lines;
    if (record.has_packet) break;
    at += record.lines;
  }
  const char* from = ring_[at % kLines].bytes + sizeof(record);
  pieces(current_, [&](void* to, size_t n) {
    std::memcpy(to, from, n);
    from += n;
  });
  return &current_;
}

void Queue::pop() {
  read_.store(read_.load(std::memory_order_relaxed) + front_lines_, std::memory_order_release);
  const uint64_t done = done_.load(std::memory_order_relaxed) + 1;
  done_.store(done, std::memory_order_release);
  asymmetric_fence_light();
  if (done < wanted_.load(std::memory_order_relaxed)) return;
  std::lock_guard lock(mutex_);
  wanted_.store(UINT64_MAX, std::memory_order_relaxed);  // those still waiting ask again
  reached_.notify_all();
}

void Queue::wait(uint64_t value) {
  const auto done = [&] { return reached(value); };
  if (spin(done, kWaiterSpin)) return;
  const WaitScope waiting;
  std::unique_lock lock(mutex_);
  for (;;) {
    wanted_.store(std::min(wanted_.load(std::memory_order_relaxed), value),
                  std::memory_order_relaxed);
    asymmetric_fence_heavy();  // either pop() sees what is wanted, or this look what is done
    if (done()) return;
    reached_.wait(lock);
  }
}

void Queue::close() {
  closed_.store(true, std::memory_order_release);
  std::lock_guard lock(mutex_);
  pushed_.notify_one();
}

void Queue::set_fault(Status status, int32_t site) {
  std::lock_guard lock(fault_mutex_);
  if (!fault_.ok()) return;
  fault_ = std::move(status);
  fault_site_ = site;
}

Status Queue::take_fault(int32_t* site) {
  std::lock_guard lock(fault_mutex_);
  if (site) *site = fault_site_;
  return std::exchange(fault_, Status());
}

}  // namespace trn::driver
