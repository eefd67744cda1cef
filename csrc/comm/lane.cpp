// Staging, the two threads of a lane, and what a failure of the transport becomes.
#include "comm/lane.h"

#include <ATen/core/CachingHostAllocator.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/stack.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/StreamGuard.h>

#include <algorithm>

#include "runtime/allocator.h"
#include "runtime/capture.h"

namespace trn::comm {

struct Lane::Job {
  Collective collective;
  c10::intrusive_ptr<Ticket> ticket;
  runtime::Event arrived;  // inputs are in host memory
  Handles handles;
  std::exception_ptr error;
};

// Jobs from one thread to the next, in order.
class Lane::Inbox {
 public:
  void put(std::unique_ptr<Job> job) {
    std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
    changed_.notify_all();
  }
  // Null when closed and empty.
  std::unique_ptr<Job> take() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !jobs_.empty() || closed_; });
    if (jobs_.empty()) return nullptr;
    auto job = std::move(jobs_.front());
    jobs_.pop_front();
    return job;
  }
  void close() {
    std::lock_guard lock(mutex_);
    closed_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::unique_ptr<Job>> jobs_;
  bool closed_ = false;
};

bool Ticket::isCompleted() {
  if (!Work::isCompleted()) return false;
  return exception() || runtime::query(done_);
}

void Ticket::rethrow() {
  runtime::post_error(done_.device, nullptr);  // told here: not once more at the next wait
  std::rethrow_exception(exception());
}

bool Ticket::wait(std::chrono::milliseconds timeout) {
  if (host_waits_ || timeout != kNoTimeout) {
    std::unique_lock lock(mutex_);
    const auto done = [&] { return completed_; };
    if (timeout == kNoTimeout) {
      cv_.wait(lock, done);
    } else if (!cv_.wait_for(lock, timeout, done)) {
      C10_THROW_ERROR(DistBackendError,
                      c10::str("TRN collective ", c10d::opTypeToString(opType_), " (number ",
                               sequence_, ") did not end within ", timeout.count(), " ms"));
    }
  }
  if (Work::isCompleted() && exception()) rethrow();
  runtime::block(done_, runtime::current_stream(done_.device));
  return true;
}

// NCCL gathers into one tensor [ranks, ...], which is what callers of its future index by rank.
std::vector<at::Tensor> Ticket::future_value() const {
  const auto like_first = [&](const at::Tensor& t) { return t.sizes() == result_[0].sizes(); };
  if (retrieveOpType() != c10d::OpType::ALLGATHER || result_.empty() ||
      !std::all_of(result_.begin(), result_.end(), like_first))
    return result_;
  const at::NoGradGuard no_grad;
  for (const at::Tensor& t : result_) t.record_stream(after_);
  return {at::stack(result_)};
}

c10::intrusive_ptr<c10::ivalue::Future> Ticket::getFuture() {
  std::call_once(future_made_, [&] {
    const c10::Device device(c10::kPrivateUse1, done_.device);
    future_ = c10::make_intrusive<c10::ivalue::Future>(
        c10::ListType::create(c10::TensorType::get()), std::vector<c10::Device>{device});
    const c10::StreamGuard guard(after_);
    runtime::block(done_, after_);
    future_->markCompleted(c10::IValue(future_value()));
  });
  return future_;
}

Lane::Lane(c10::DeviceIndex device, int rank, std::string name)
    : device_(device),
      rank_(rank),
      name_(std::move(name)),
      down_(runtime::acquire_stream(device)),
      up_(runtime::acquire_stream(device)),
      signal_(runtime::acquire_stream(device)),
      after_(runtime::acquire_stream(device)),
      launches_(std::make_unique<Inbox>()),
      finishes_(std::make_unique<Inbox>()),
      launcher_([this] { launch_loop(); }),
      finisher_([this] { finish_loop(); }) {}

Lane::~Lane() {
  launches_->close();
  launcher_.join();
  finishes_->close();
  finisher_.join();
  for (const c10::Stream& s : {down_, up_, signal_, after_}) runtime::release_stream(s);
}

c10::intrusive_ptr<Ticket> Lane::issue(Collective collective, std::vector<at::Tensor> result) {
  const c10::DeviceGuard device_guard(c10::Device(c10::kPrivateUse1, device_));
  const at::AutoDispatchBelowADInplaceOrView no_autograd;
  runtime::refuse_in_capture(runtime::current_stream(device_), "a collective");
  std::lock_guard lock(issue_mutex_);
  auto job = std::make_unique<Job>();
  job->arrived = copy_down(collective.slots);
  runtime::Event received;
  received.device = device_;
  received.queue = runtime::queue_of(signal_);
  received.value = runtime::promise(signal_);
  runtime::block(received, up_);
  try {
    copy_up(collective);
  } catch (...) {
    job->error = std::current_exception();  // the promise has to be kept all the same
  }
  runtime::Event done;
  runtime::record(done, up_, /*timing=*/false);
  auto ticket =
      c10::make_intrusive<Ticket>(rank_, collective.type, collective.title, std::move(done),
                                  std::move(result), collective.host_waits, ++sequence_, after_);
  job->collective = std::move(collective);
  job->ticket = ticket;
  launches_->put(std::move(job));
  return ticket;
}

runtime::Event Lane::copy_down(std::vector<Slot>& slots) {
  runtime::Event ready, arrived;
  runtime::record(ready, runtime::current_stream(device_), /*timing=*/false);
  runtime::block(ready, down_);
  const c10::StreamGuard guard(down_);
  for (Slot& slot : slots) {
    if (!slot.reads) continue;
    runtime::allocator()->recordStream(slot.device.storage().data_ptr(), down_);
    const at::Tensor from = slot.factor == 1 ? slot.device : at::mul(slot.device, slot.factor);
    slot.host.copy_(from, /*non_blocking=*/true);
  }
  runtime::record(arrived, down_, /*timing=*/false);
  return arrived;
}

void Lane::copy_up(Collective& collective) {
  runtime::Event ready;
  runtime::record(ready, runtime::current_stream(device_), /*timing=*/false);
  runtime::block(ready, up_);
  const c10::StreamGuard guard(up_);
  for (Slot& slot : collective.slots) {
    if (!slot.writes) continue;
    runtime::allocator()->recordStream(slot.device.storage().data_ptr(), up_);
    // The host's values come later: nothing may be converted or laid out there.
    const bool direct = slot.device.scalar_type() == slot.host.scalar_type() &&
                        slot.device.is_contiguous() && !slot.device.is_conj();
    const at::Tensor staged =
        direct ? slot.device
               : at::empty(slot.host.sizes(), slot.device.options().dtype(slot.host.dtype()));
    staged.copy_(slot.host, /*non_blocking=*/true);
    if (!direct) slot.device.copy_(staged);
  }
  if (collective.finish) collective.finish(collective.slots);
}

void Lane::launch_loop() {
  while (auto job = launches_->take()) {
    try {
      runtime::device(device_).wait(job->arrived.queue, job->arrived.value);
      if (!job->error) job->handles = job->collective.start(job->collective.slots);
    } catch (...) { job->error = std::current_exception(); }
    finishes_->put(std::move(job));
  }
}

void Lane::finish_loop() {
  while (auto job = finishes_->take()) finish(*job);
}

void Lane::finish(Job& job) {
  if (!job.error) {
    try {
      if (broken_) std::rethrow_exception(broken_);
      for (auto& handle : job.handles) {
        handle->wait();
        const c10d::OpType type = job.collective.type;
        if (type == c10d::OpType::RECV || type == c10d::OpType::RECVANYSOURCE)
          job.ticket->set_source(handle->sourceRank());
      }
    } catch (...) {
      job.error = std::current_exception();
      if (!broken_) broken_ = job.error;
    }
  }
  std::exception_ptr error = job.error ? named(job, job.error) : nullptr;
  if (error) runtime::post_error(device_, error);
  job.ticket->complete(std::move(error));
  // Signalled in any case: streams that wait for this collective go on, and the error comes out at
  // the next wait or synchronisation.
  std::lock_guard lock(signal_mutex_);
  if (!abandoned_) signal();
}

// One packet that waits for nothing.
void Lane::signal() {
  driver::Packet packet;
  packet.kind = driver::PacketKind::wait;
  packet.other = runtime::queue_of(down_);
  packet.value = 0;
  packet.stamp = nullptr;
  runtime::submit(signal_, packet);
  ++signalled_;
}

void Lane::abandon() {
  std::lock_guard issuing(issue_mutex_);
  std::lock_guard lock(signal_mutex_);
  abandoned_ = true;
  while (signalled_ < sequence_) signal();
}

std::exception_ptr Lane::named(const Job& job, std::exception_ptr error) const {
  std::string why;
  try {
    std::rethrow_exception(error);
  } catch (const c10::Error& e) {
    why = e.what_without_backtrace();
  } catch (const std::exception& e) { why = e.what(); }
  return std::make_exception_ptr(c10::DistBackendError(
      {__func__, __FILE__, static_cast<uint32_t>(__LINE__)},
      c10::str(name_, " TRN collective ", c10d::opTypeToString(job.collective.type), " (number ",
               job.ticket->getSequencenumber(), ") failed: ", why)));
}

}  // namespace trn::comm
