// The way of collectives from a device to the transport and back, in order and without the host
// waiting.
//
// All that a collective does on the device is queued when it is issued, so that memory and streams
// are ordered as for any other work. `down` copies inputs to pinned memory once the caller's stream
// has come that far; a thread then starts the transport; another waits for it and puts one packet
// on `signal`, whose value was promised at the beginning; `up` has waited for it and copies back.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <thread>
#include <torch/csrc/distributed/c10d/Work.hpp>

#include "runtime/stream.h"

namespace trn::comm {

// What the caller of a collective holds. wait() makes the current stream wait and returns at once;
// with a timeout, and for a barrier, the host waits.
class Ticket final : public c10d::Work {
 public:
  Ticket(int rank, c10d::OpType type, const char* title, runtime::Event done,
         std::vector<at::Tensor> result, bool host_waits, uint64_t sequence, c10::Stream after)
      : Work(rank, type, title),
        done_(std::move(done)),
        result_(std::move(result)),
        host_waits_(host_waits),
        sequence_(sequence),
        after_(after) {}

  bool isCompleted() override;
  bool wait(std::chrono::milliseconds timeout = kNoTimeout) override;
  void synchronize() override { wait(); }
  void blockCurrentStream() override { wait(); }
  std::vector<at::Tensor> result() override { return result_; }
  int sourceRank() const override { return source_; }
  uint64_t getSequencenumber() const override { return sequence_; }
  // Completed already: its values are ordered by events, as those of CUDA's collectives are.
  c10::intrusive_ptr<c10::ivalue::Future> getFuture() override;

  // By the lane, once: all is on the device, or `error` says why not.
  void complete(std::exception_ptr error) { finish(std::move(error)); }
  void set_source(int rank) { source_ = rank; }

 private:
  void rethrow();
  std::vector<at::Tensor> future_value() const;

  const runtime::Event done_;
  const std::vector<at::Tensor> result_;
  const bool host_waits_;
  const uint64_t sequence_;
  const c10::Stream after_;  // runs nothing but waits for signals, and what a future is made of
  int source_ = -1;
  std::once_flag future_made_;
  c10::intrusive_ptr<c10::ivalue::Future> future_;
};

using Handles = std::vector<c10::intrusive_ptr<c10d::Work>>;

// A tensor that takes part, and its copy in pinned memory.
struct Slot {
  at::Tensor device, host;
  bool reads, writes;
  double factor = 1;  // the device's values are multiplied by it on the way down
};

struct Collective {
  c10d::OpType type;
  const char* title;
  std::vector<Slot> slots;
  // Starts the transport's works on the slots' host tensors. Runs on the lane's thread.
  std::function<Handles(std::vector<Slot>&)> start;
  // Queues what comes after the copies back, with `up` current; may be empty.
  std::function<void(std::vector<Slot>&)> finish;
  bool host_waits = false;
};

// One device of one group. Thread-safe.
class Lane {
 public:
  // `name` begins the messages of errors: "[rank 0 of 2]".
  Lane(c10::DeviceIndex device, int rank, std::string name);
  // Lets what was issued end, which the transport's timeout bounds.
  ~Lane();

  c10::intrusive_ptr<Ticket> issue(Collective collective, std::vector<at::Tensor> result);
  // At the process's end: what is under way counts as done, so that no stream waits for a rank
  // that never comes. The lane must not be destroyed after that, for its threads may never end.
  void abandon();

 private:
  struct Job;
  class Inbox;
  // Queues the copies to the host; the event tells when they are there.
  runtime::Event copy_down(std::vector<Slot>& slots);
  void copy_up(Collective& collective);
  void launch_loop();
  void finish_loop();
  void finish(Job& job);
  void signal();
  std::exception_ptr named(const Job& job, std::exception_ptr error) const;

  const c10::DeviceIndex device_;
  const int rank_;
  const std::string name_;
  const c10::Stream down_, up_, signal_, after_;
  std::mutex issue_mutex_;
  uint64_t sequence_ = 0;
  std::mutex signal_mutex_;
  uint64_t signalled_ = 0;
  bool abandoned_ = false;
  std::exception_ptr broken_;  // the first failure of the transport; only the finisher's thread
  std::unique_ptr<Inbox> launches_, finishes_;
  std::thread launcher_, finisher_;
};

}  // namespace trn::comm
