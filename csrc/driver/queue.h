// The ring of packets and the timeline that every queue of the drivers in this folder is.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstring>
#include <memory>
#include <mutex>

#include "driver/driver.h"

namespace trn::driver {

class Queue {
 public:
  explicit Queue(int priority) : priority(priority), slots_(new Packet[kSlots]) {}

  // Producer side; any thread. Returns the packet's timeline value.
  uint64_t push(const Packet& packet);
  uint64_t submitted() const { return tail_.load(std::memory_order_acquire); }

  // Consumer side; one thread. The next packet, waiting for one; null once closed and empty.
  Packet* front();
  // Marks the front packet done: its slot may be reused and its value is reached.
  void pop();

  bool reached(uint64_t value) const { return done_.load(std::memory_order_acquire) >= value; }
  void wait(uint64_t value);
  void close();

  // The first fault wins until it is taken.
  void set_fault(Status status, int32_t site);
  Status take_fault(int32_t* site);

  const int priority;

 private:
  static constexpr uint64_t kSlots = 2048;  // packets in flight; a producer waits beyond that

  std::unique_ptr<Packet[]> slots_;
  std::atomic_flag producing_ = ATOMIC_FLAG_INIT;
  alignas(64) std::atomic<uint64_t> tail_{0};  // packets pushed
  alignas(64) std::atomic<uint64_t> done_{0};  // packets completed: the timeline
  std::atomic<bool> closed_{false};
  // Who sleeps, so that nobody is woken in vain: waiters for a timeline value (the lowest one
  // wanted), and the consumer for a packet.
  std::atomic<uint64_t> wanted_{UINT64_MAX};
  std::atomic<bool> consumer_asleep_{false};
  std::mutex mutex_;
  std::condition_variable reached_, pushed_;

  std::mutex fault_mutex_;
  Status fault_;
  int32_t fault_site_ = 0;
};

}  // namespace trn::driver
