// torch.distributed's backend for trn: every collective on another backend's transport (Gloo's).
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <vector>

#include "comm/lane.h"

namespace trn::comm {

inline constexpr const char* kBackendName = "trnccl";

// Tensors are on trn, one device a rank at a time; works order streams and do not block the host.
// Reductions: SUM, AVG, PRODUCT, MIN, MAX, BAND, BOR, BXOR, PREMUL_SUM. Errors of the transport
// (a rank died, or came later than the group's timeout) raise torch.distributed.DistBackendError
// with the collective's name, at wait() or at the device's next synchronisation.
class Backend final : public c10d::Backend {
 public:
  // `transport` moves CPU tensors and is used by nobody else.
  Backend(c10::intrusive_ptr<c10d::Backend> transport, int rank, int size,
          std::chrono::milliseconds timeout);
  ~Backend() override;

  const std::string getBackendName() const override { return kBackendName; }
  c10::intrusive_ptr<c10d::Backend::Options> getBackendOptions() override { return options_; }
  void setTimeout(std::chrono::milliseconds timeout) override;
  bool supportsCoalescing() const override { return true; }
  void startCoalescing() override;
  c10::intrusive_ptr<c10d::Work> endCoalescing() override;
  void setSequenceNumberForGroup() override {}
  uint64_t getSequenceNumberForGroup() override { return issued_.load(); }
  c10d::ErrorType getError() override { return c10d::ErrorType::SUCCESS; }
  // Waits for what was issued.
  void shutdown() override;
  // At the process's end: see Lane::abandon().
  void abort() override;
  static void abort_all();

  using Tensors = std::vector<at::Tensor>;
  using Lists = std::vector<Tensors>;
  using Result = c10::intrusive_ptr<c10d::Work>;
  Result broadcast(Tensors& tensors, const c10d::BroadcastOptions& o) override;
  Result allreduce(Tensors& tensors, const c10d::AllreduceOptions& o) override;
  Result allreduce_coalesced(Tensors& tensors, const c10d::AllreduceCoalescedOptions& o) override;
  Result reduce(Tensors& tensors, const c10d::ReduceOptions& o) override;
  Result allgather(Lists& outputs, Tensors& inputs, const c10d::AllgatherOptions& o) override;
  Result _allgather_base(at::Tensor& output, at::Tensor& input,
                         const c10d::AllgatherOptions& o) override;
  Result allgather_coalesced(Lists& outputs, Tensors& inputs,
                             const c10d::AllgatherOptions& o) override;
  Result allgather_into_tensor_coalesced(Tensors& outputs, Tensors& inputs,
                                         const c10d::AllgatherOptions& o) override;
  Result gather(Lists& outputs, Tensors& inputs, const c10d::GatherOptions& o) override;
  Result scatter(Tensors& outputs, Lists& inputs, const c10d::ScatterOptions& o) override;
  Result reduce_scatter(Tensors& outputs, Lists& inputs,
                        const c10d::ReduceScatterOptions& o) override;
  Result _reduce_scatter_base(at::Tensor& output, at::Tensor& input,
                              const c10d::ReduceScatterOptions& o) override;
  Result reduce_scatter_tensor_coalesced(Tensors& outputs, Tensors& inputs,
                                         const c10d::ReduceScatterOptions& o) override;
  Result alltoall_base(at::Tensor& output, at::Tensor& input, std::vector<int64_t>& output_counts,
                       std::vector<int64_t>& input_counts, const c10d::AllToAllOptions& o) override;
  Result alltoall(Tensors& outputs, Tensors& inputs, const c10d::AllToAllOptions& o) override;
  Result send(Tensors& tensors, int to, int tag) override;
  Result recv(Tensors& tensors, int from, int tag) override;
  Result recvAnysource(Tensors& tensors, int tag) override;
  Result barrier(const c10d::BarrierOptions& o) override;

 private:
  Lane& lane(c10::DeviceIndex device);
  // Issues on the lane of the first slot's device.
  Result issue(Collective collective, Tensors result);

  const c10::intrusive_ptr<c10d::Backend> transport_;
  const c10::intrusive_ptr<c10d::Backend::Options> options_;
  std::mutex mutex_;
  std::map<c10::DeviceIndex, std::unique_ptr<Lane>> lanes_;
  std::atomic<uint64_t> issued_{0};
  bool coalescing_ = false;
  Result last_;  // issued while coalescing: later ones of a lane end later
};

}  // namespace trn::comm
