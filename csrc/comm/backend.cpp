// Every collective: which tensors go down, what the transport does, which come up.
#include "comm/backend.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <c10/util/irange.h>

#include <set>

#include "comm/staging.h"

namespace trn::comm {
namespace {

using c10d::OpType;
using Tensors = Backend::Tensors;
using Lists = Backend::Lists;

Tensors flat(const Lists& lists) {
  Tensors all;
  for (const Tensors& list : lists) all.insert(all.end(), list.begin(), list.end());
  return all;
}

// [begin, end) of `tensors` in lists of `length`.
Lists lists_of(const Tensors& tensors, size_t length) {
  Lists lists;
  for (size_t i = 0; i < tensors.size(); i += length)
    lists.emplace_back(tensors.begin() + i, tensors.begin() + i + length);
  return lists;
}

void expect_one(size_t n, const char* what) {
  TORCH_CHECK(n == 1, "trnccl takes one tensor a rank and collective for ", what, ", got ", n);
}

template <class Options>
Options with_op(Options o, const Reduction& reduction) {
  o.reduceOp = reduction.op;
  return o;
}

struct Alive {
  std::mutex mutex;
  std::set<Backend*> backends;
};
Alive& alive() {
  static auto* a = new Alive;
  return *a;
}

class NamedOptions final : public c10d::Backend::Options {
 public:
  explicit NamedOptions(std::chrono::milliseconds timeout) : Options(kBackendName, timeout) {}
};

}  // namespace

Backend::Backend(c10::intrusive_ptr<c10d::Backend> transport, int rank, int size,
                 std::chrono::milliseconds timeout)
    : c10d::Backend(rank, size),
      transport_(std::move(transport)),
      options_(c10::make_intrusive<NamedOptions>(timeout)) {
  std::lock_guard lock(alive().mutex);
  alive().backends.insert(this);
}

Backend::~Backend() {
  {
    std::lock_guard lock(alive().mutex);
    alive().backends.erase(this);
  }
  shutdown();
}

void Backend::setTimeout(std::chrono::milliseconds timeout) {
  options_->timeout = timeout;
  transport_->setTimeout(timeout);
}

Lane& Backend::lane(c10::DeviceIndex device) {
  std::lock_guard lock(mutex_);
  auto& lane = lanes_[device];
  if (!lane)
    lane = std::make_unique<Lane>(device, rank_, c10::str("[rank ", rank_, " of ", size_, "]"));
  return *lane;
}

Backend::Result Backend::issue(Collective collective, Tensors result) {
  const c10::DeviceIndex device = collective.slots.front().device.device().index();
  for (const Slot& slot : collective.slots)
    TORCH_CHECK(slot.device.device().index() == device,
                "all tensors of a collective must be on "
                "one device");
  ++issued_;
  auto ticket = lane(device).issue(std::move(collective), std::move(result));
  if (coalescing_) last_ = ticket;
  return ticket;
}

void Backend::startCoalescing() {
  coalescing_ = true;
  last_.reset();
}
Backend::Result Backend::endCoalescing() {
  coalescing_ = false;
  return std::exchange(last_, nullptr);
}

void Backend::shutdown() {
  std::lock_guard lock(mutex_);
  lanes_.clear();
}
void Backend::abort() {
  std::lock_guard lock(mutex_);
  if (lanes_.empty()) return;
  for (auto& [device, lane] : lanes_) lane.release()->abandon();
  lanes_.clear();
  // Its destructor would wait for the works that are given up.
  new c10::intrusive_ptr<c10d::Backend>(transport_);
}
void Backend::abort_all() {
  std::lock_guard lock(alive().mutex);
  for (Backend* backend : alive().backends) backend->abort();
}

Backend::Result Backend::broadcast(Tensors& tensors, const c10d::BroadcastOptions& o) {
  expect_one(tensors.size(), "broadcast");
  // Only the root's values are needed from the device.
  auto slots = o.rootRank == rank_ ? reads(tensors) : writes(tensors);
  return issue({OpType::BROADCAST, "trnccl:broadcast", std::move(slots),
                [this, o](std::vector<Slot>& s) {
                  Tensors host = bytes(s, 0, s.size());
                  return Handles{transport_->broadcast(host, o)};
                }},
               tensors);
}

Backend::Result Backend::allreduce(Tensors& tensors, const c10d::AllreduceOptions& o) {
  expect_one(tensors.size(), "allreduce");
  c10d::AllreduceCoalescedOptions many;
  static_cast<c10d::AllreduceOptions&>(many) = o;
  return allreduce_coalesced(tensors, many);
}

Backend::Result Backend::allreduce_coalesced(Tensors& tensors,
                                             const c10d::AllreduceCoalescedOptions& o) {
  auto slots = updates(tensors);
  const Reduction reduction = prepare(o.reduceOp, size_, slots);
  return issue({OpType::ALLREDUCE, "trnccl:all_reduce", std::move(slots),
                [this, o = with_op(o, reduction)](std::vector<Slot>& s) {
                  Handles handles;
                  for (const at::Tensor& host : hosts(s, 0, s.size())) {
                    Tensors one{host};
                    handles.push_back(transport_->allreduce(one, o));
                  }
                  return handles;
                },
                finisher(reduction)},
               tensors);
}

Backend::Result Backend::reduce(Tensors& tensors, const c10d::ReduceOptions& o) {
  expect_one(tensors.size(), "reduce");
  auto slots = updates(tensors);
  slots[0].writes = o.rootRank == rank_;  // others keep their values
  const Reduction reduction = prepare(o.reduceOp, size_, slots);
  return issue({OpType::REDUCE, "trnccl:reduce", std::move(slots),
                [this, o = with_op(o, reduction)](std::vector<Slot>& s) {
                  Tensors host = hosts(s, 0, 1);
                  return Handles{transport_->reduce(host, o)};
                },
                finisher(reduction)},
               tensors);
}

Backend::Result Backend::allgather(Lists& outputs, Tensors& inputs,
                                   const c10d::AllgatherOptions& o) {
  expect_one(inputs.size(), "allgather");
  return allgather_coalesced(outputs, inputs, o);
}

// outputs[i] holds the i-th input of every rank.
Backend::Result Backend::allgather_coalesced(Lists& outputs, Tensors& inputs,
                                             const c10d::AllgatherOptions& o) {
  TORCH_CHECK(outputs.size() == inputs.size(), "allgather: ", outputs.size(), " output lists for ",
              inputs.size(), " inputs");
  const size_t n = inputs.size();
  return issue({n == 1 ? OpType::ALLGATHER : OpType::COALESCED, "trnccl:all_gather",
                reads(inputs) + writes(flat(outputs)),
                [this, o, n](std::vector<Slot>& s) {
                  Handles handles;
                  const Lists out = lists_of(bytes(s, n, s.size()), size_);
                  for (const auto i : c10::irange(n)) {
                    Tensors in = bytes(s, i, i + 1);
                    Lists one{out[i]};
                    handles.push_back(transport_->allgather(one, in, o));
                  }
                  return handles;
                }},
               flat(outputs));
}

Backend::Result Backend::_allgather_base(at::Tensor& output, at::Tensor& input,
                                         const c10d::AllgatherOptions& o) {
  Tensors outputs{output}, inputs{input};
  return allgather_into_tensor_coalesced(outputs, inputs, o);
}

Backend::Result Backend::allgather_into_tensor_coalesced(Tensors& outputs, Tensors& inputs,
                                                         const c10d::AllgatherOptions& o) {
  const size_t n = inputs.size();
  for (const auto i : c10::irange(n)) {
    TORCH_CHECK(outputs[i].numel() == inputs[i].numel() * size_,
                "output tensor size must be equal to world_size times input tensor size");
    TORCH_CHECK_TYPE(outputs[i].scalar_type() == inputs[i].scalar_type(),
                     "output tensor must have the same type as input tensor");
  }
  return issue({OpType::_ALLGATHER_BASE, "trnccl:_all_gather_base", reads(inputs) + writes(outputs),
                [this, o, n](std::vector<Slot>& s) {
                  Handles handles;
                  for (const auto i : c10::irange(n)) {
                    Tensors in = bytes(s, i, i + 1);
                    Lists out{bytes(s, n + i, n + i + 1)[0].view({size_, -1}).unbind(0)};
                    for (at::Tensor& part : out[0]) part = part.view(in[0].sizes());
                    handles.push_back(transport_->allgather(out, in, o));
                  }
                  return handles;
                }},
               outputs);
}

Backend::Result Backend::gather(Lists& outputs, Tensors& inputs, const c10d::GatherOptions& o) {
  expect_one(inputs.size(), "gather");
  const bool root = o.rootRank == rank_;
  TORCH_CHECK(root ? outputs.size() == 1 : outputs.empty(),
              "gather: only the root gives a list of outputs");
  return issue({OpType::GATHER, "trnccl:gather", reads(inputs) + writes(flat(outputs)),
                [this, o, root](std::vector<Slot>& s) {
                  Tensors in = bytes(s, 0, 1);
                  Lists out;
                  if (root) out.push_back(bytes(s, 1, s.size()));
                  return Handles{transport_->gather(out, in, o)};
                }},
               flat(outputs));
}

Backend::Result Backend::scatter(Tensors& outputs, Lists& inputs, const c10d::ScatterOptions& o) {
  expect_one(outputs.size(), "scatter");
  const bool root = o.rootRank == rank_;
  TORCH_CHECK(root ? inputs.size() == 1 : inputs.empty(),
              "scatter: only the root gives a list of inputs");
  return issue({OpType::SCATTER, "trnccl:scatter", writes(outputs) + reads(flat(inputs)),
                [this, o, root](std::vector<Slot>& s) {
                  Tensors out = bytes(s, 0, 1);
                  Lists in;
                  if (root) in.push_back(bytes(s, 1, s.size()));
                  return Handles{transport_->scatter(out, in, o)};
                }},
               outputs);
}

Backend::Result Backend::reduce_scatter(Tensors& outputs, Lists& inputs,
                                        const c10d::ReduceScatterOptions& o) {
  expect_one(outputs.size(), "reduce_scatter");
  TORCH_CHECK(inputs.size() == 1 && inputs[0].size() == static_cast<size_t>(size_),
              "reduce_scatter: one input for each of ", size_, " ranks");
  // One dense input, so that both forms are one: made on the caller's stream.
  Tensors parts;
  for (const at::Tensor& t : inputs[0]) parts.push_back(t.reshape({-1}));
  at::Tensor whole = at::cat(parts);
  return _reduce_scatter_base(outputs[0], whole, o);
}

Backend::Result Backend::_reduce_scatter_base(at::Tensor& output, at::Tensor& input,
                                              const c10d::ReduceScatterOptions& o) {
  Tensors outputs{output}, inputs{input};
  return reduce_scatter_tensor_coalesced(outputs, inputs, o);
}

Backend::Result Backend::reduce_scatter_tensor_coalesced(Tensors& outputs, Tensors& inputs,
                                                         const c10d::ReduceScatterOptions& o) {
  const size_t n = outputs.size();
  for (const auto i : c10::irange(n)) {
    TORCH_CHECK(inputs[i].numel() == outputs[i].numel() * size_,
                "input tensor must be the same size as output size times world size");
    TORCH_CHECK_TYPE(outputs[i].scalar_type() == inputs[i].scalar_type(),
                     "input tensor must be the same type as the output tensor");
  }
  auto slots = reads(inputs) + writes(outputs);
  const Reduction reduction = prepare(o.reduceOp, size_, slots);
  return issue({OpType::_REDUCE_SCATTER_BASE, "trnccl:_reduce_scatter_base", std::move(slots),
                [this, n, o = with_op(o, reduction)](std::vector<Slot>& s) {
                  Handles handles;
                  for (const auto i : c10::irange(n)) {
                    at::Tensor in = hosts(s, i, i + 1)[0].view(-1);
                    at::Tensor out = hosts(s, n + i, n + i + 1)[0].view(-1);
                    handles.push_back(transport_->_reduce_scatter_base(out, in, o));
                  }
                  return handles;
                },
                finisher(reduction)},
               outputs);
}

Backend::Result Backend::alltoall_base(at::Tensor& output, at::Tensor& input,
                                       std::vector<int64_t>& output_counts,
                                       std::vector<int64_t>& input_counts,
                                       const c10d::AllToAllOptions& o) {
  return issue(
      {OpType::ALLTOALL_BASE, "trnccl:all_to_all", reads(Tensors{input}) + writes(Tensors{output}),
       [this, o, output_counts, input_counts](std::vector<Slot>& s) mutable {
         at::Tensor in = bytes(s, 0, 1)[0], out = bytes(s, 1, 2)[0];
         return Handles{transport_->alltoall_base(out, in, output_counts, input_counts, o)};
       }},
      {output});
}

Backend::Result Backend::alltoall(Tensors& outputs, Tensors& inputs,
                                  const c10d::AllToAllOptions& o) {
  const size_t n = inputs.size();
  TORCH_CHECK(n == outputs.size() && n == static_cast<size_t>(size_),
              "all_to_all: one input and one output for each of ", size_, " ranks");
  return issue({OpType::ALLTOALL, "trnccl:all_to_all", reads(inputs) + writes(outputs),
                [this, o, n](std::vector<Slot>& s) {
                  // As one tensor each way, in pieces of any sizes.
                  Tensors in = bytes(s, 0, n), out = bytes(s, n, 2 * n), pieces;
                  std::vector<int64_t> in_counts, out_counts;
                  int64_t total = 0;
                  for (const at::Tensor& t : in) {
                    pieces.push_back(t.reshape({-1}));
                    in_counts.push_back(t.numel());
                  }
                  for (const at::Tensor& t : out) {
                    out_counts.push_back(t.numel());
                    total += t.numel();
                  }
                  at::Tensor from = at::cat(pieces), to = at::empty({total}, from.options());
                  transport_->alltoall_base(to, from, out_counts, in_counts, o)->wait();
                  int64_t begin = 0;
                  for (at::Tensor& t : out) {
                    t.copy_(to.narrow(0, begin, t.numel()).view(t.sizes()));
                    begin += t.numel();
                  }
                  return Handles{};
                }},
               outputs);
}

Backend::Result Backend::send(Tensors& tensors, int to, int tag) {
  expect_one(tensors.size(), "send");
  return issue({OpType::SEND, "trnccl:send", reads(tensors),
                [this, to, tag](std::vector<Slot>& s) {
                  Tensors host = bytes(s, 0, 1);
                  return Handles{transport_->send(host, to, tag)};
                }},
               tensors);
}

Backend::Result Backend::recv(Tensors& tensors, int from, int tag) {
  expect_one(tensors.size(), "recv");
  return issue({OpType::RECV, "trnccl:recv", writes(tensors),
                [this, from, tag](std::vector<Slot>& s) {
                  Tensors host = bytes(s, 0, 1);
                  return Handles{transport_->recv(host, from, tag)};
                }},
               tensors);
}

Backend::Result Backend::recvAnysource(Tensors& tensors, int tag) {
  expect_one(tensors.size(), "recv");
  auto ticket = issue({OpType::RECVANYSOURCE, "trnccl:recv_anysource", writes(tensors),
                       [this, tag](std::vector<Slot>& s) {
                         Tensors host = bytes(s, 0, 1);
                         return Handles{transport_->recvAnysource(host, tag)};
                       },
                       nullptr, /*host_waits=*/true},  // the caller asks next who sent it
                      tensors);
  return ticket;
}

Backend::Result Backend::barrier(const c10d::BarrierOptions& o) {
  c10::DeviceIndex device = runtime::current_device();
  if (!o.device_ids.empty()) device = static_cast<c10::DeviceIndex>(o.device_ids[0]);
  else if (const auto bound = getBoundDeviceId()) device = bound->index();
  // A tensor that goes down, so that the barrier comes after what the device has to do.
  const at::Tensor token =
      at::empty({1}, at::TensorOptions().dtype(at::kByte).device(c10::kPrivateUse1, device));
  return issue(
      {OpType::BARRIER, "trnccl:barrier", reads(Tensors{token}),
       [this](std::vector<Slot>&) { return Handles{transport_->barrier(c10d::BarrierOptions())}; },
       nullptr, /*host_waits=*/true},
      {});
}

}  // namespace trn::comm
