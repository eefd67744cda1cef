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
  explicit Queue(int priority) : priority(priority), ring_(new Line[kLines]) {}

  // Producer side; any thread. Returns the packet's timeline value.
  uint64_t push(const Packet& packet);
  uint64_t submitted() const { return tail_.load(std::memory_order_acquire); }

  // Consumer side; one thread. The next packet, waiting for one; null once closed and empty.
  Packet* front();
  // Marks the packet that front() gave done: its room may be reused and its value is reached.
  void pop();

  bool reached(uint64_t value) const { return done_.load(std::memory_order_acquire) >= value; }
  void wait(uint64_t value);
  void close();

  // The first fault wins until it is taken.
  void set_fault(Status status, int32_t site);
  Status take_fault(int32_t* site);

  const int priority;

 private:
  struct Line {
    alignas(64) char bytes[64];
  };
  // Packets lie packed in a ring of cache lines, about four for a launch of three operands: some
  // 2000 are in flight within a second-level cache; a producer waits beyond that.
  static constexpr uint64_t kLines = 8192;

  void become_producer();
  Line* reserve(uint64_t lines);

  std::unique_ptr<Line[]> ring_;
  Packet current_;            // the front packet, unpacked
  uint64_t front_lines_ = 0;  // lines that it takes
  // Producers' and consumer's variables lie on lines of their own: what one side writes with every
  // packet, the other does not read with every packet, but for the two counts of the timeline.
  alignas(64) std::atomic_flag producing_ = ATOMIC_FLAG_INIT;
  uint64_t written_ = 0;                       // lines ever written
  uint64_t known_read_ = 0;                    // of read_, when last looked at
  alignas(64) std::atomic<uint64_t> tail_{0};  // packets pushed
  alignas(64) std::atomic<uint64_t> done_{0};  // packets completed: the timeline
  std::atomic<uint64_t> read_{0};              // lines ever given back
  // Who sleeps, so that nobody is woken in vain: waiters for a timeline value (the lowest one
  // wanted), and the consumer for a packet.
  alignas(64) std::atomic<uint64_t> wanted_{UINT64_MAX};
  std::atomic<bool> consumer_asleep_{false};
  std::atomic<bool> closed_{false};
  std::mutex mutex_;
  std::condition_variable reached_, pushed_;

  std::mutex fault_mutex_;
  Status fault_;
  int32_t fault_site_ = 0;
};

}  // namespace trn::driver
