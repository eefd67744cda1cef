// A ring with several producers and one consumer, and waiting that spins before it sleeps.
#include "driver/queue.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <thread>
#include <utility>

#if defined(__x86_64__)
#include <immintrin.h>
#define TRN_PAUSE() _mm_pause()
#else
#define TRN_PAUSE() std::this_thread::yield()
#endif

namespace trn::driver {
namespace {

// Small launches come every microsecond or two: sleeping between them would cost more than they.
constexpr int kConsumerSpin = 50;
constexpr int kWaiterSpin = 50;

// Only what a packet uses is copied: most launches have two or three of the eight operands.
void copy_used(Packet& to, const Packet& from) {
  size_t bytes = offsetof(Packet, call);
  if (from.kind == PacketKind::kernel)
    bytes += offsetof(Call, operand) + from.call.noperands * sizeof(Operand);
  else if (from.kind == PacketKind::upload)
    bytes += static_cast<size_t>(from.bytes);
  std::memcpy(static_cast<void*>(&to), &from, bytes);
}

// Spins until done() or for the given time; whether it became true. After the first moment the
// core is offered to others: on a small machine the work waited for may need it.
template <class Done>
bool spin(Done done, int microseconds) {
  using Clock = std::chrono::steady_clock;
  for (int i = 0; i < 200; ++i) {
    if (done()) return true;
    TRN_PAUSE();
  }
  const auto until = Clock::now() + std::chrono::microseconds(microseconds);
  do {
    for (int i = 0; i < 16; ++i) {
      if (done()) return true;
      TRN_PAUSE();
    }
    std::this_thread::yield();
  } while (Clock::now() < until);
  return false;
}

}  // namespace

uint64_t Queue::push(const Packet& packet) {
  while (producing_.test_and_set(std::memory_order_acquire)) TRN_PAUSE();
  const uint64_t tail = tail_.load(std::memory_order_relaxed);
  // A full ring is left to drain by half: one wake-up then pays for a thousand packets.
  if (tail - done_.load(std::memory_order_acquire) >= kSlots) wait(tail - kSlots / 2);
  copy_used(slots_[tail % kSlots], packet);
  tail_.store(tail + 1, std::memory_order_seq_cst);
  producing_.clear(std::memory_order_release);
  if (consumer_asleep_.load(std::memory_order_seq_cst)) {
    std::lock_guard lock(mutex_);
    pushed_.notify_one();
  }
  return tail + 1;
}

Packet* Queue::front() {
  const uint64_t head = done_.load(std::memory_order_relaxed);
  const auto ready = [&] {
    return tail_.load(std::memory_order_seq_cst) != head || closed_.load(std::memory_order_seq_cst);
  };
  if (!spin(ready, kConsumerSpin)) {
    std::unique_lock lock(mutex_);
    // Set before the last look: a producer either sees the flag or is seen by that look.
    consumer_asleep_.store(true, std::memory_order_seq_cst);
    pushed_.wait(lock, ready);
    consumer_asleep_.store(false, std::memory_order_seq_cst);
  }
  return tail_.load(std::memory_order_acquire) == head ? nullptr : &slots_[head % kSlots];
}

void Queue::pop() {
  const uint64_t done = done_.load(std::memory_order_relaxed) + 1;
  done_.store(done, std::memory_order_seq_cst);
  if (done < wanted_.load(std::memory_order_seq_cst)) return;
  std::lock_guard lock(mutex_);
  wanted_.store(UINT64_MAX, std::memory_order_seq_cst);  // those still waiting ask again
  reached_.notify_all();
}

void Queue::wait(uint64_t value) {
  const auto done = [&] { return done_.load(std::memory_order_seq_cst) >= value; };
  if (spin(done, kWaiterSpin)) return;
  std::unique_lock lock(mutex_);
  for (;;) {
    wanted_.store(std::min(wanted_.load(std::memory_order_seq_cst), value),
                  std::memory_order_seq_cst);
    if (done()) return;
    reached_.wait(lock);
  }
}

void Queue::close() {
  closed_.store(true, std::memory_order_seq_cst);
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
