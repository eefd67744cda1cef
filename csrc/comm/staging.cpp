// Which host memory a slot gets, and how reductions that the transport lacks are made of others.
#include "comm/staging.h"

#include <ATen/ops/div.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/view_as_real.h>

namespace trn::comm {
namespace {

using c10d::ReduceOp;

Slot slot(const at::Tensor& t, bool is_read, bool is_written) {
  TORCH_CHECK(t.is_privateuseone(), "Expected a trn tensor for a collective of trnccl, got one on ",
              t.device());
  TORCH_CHECK(t.layout() == at::kStrided, "Tensors must be dense");
  TORCH_CHECK(t.is_contiguous() || t.is_non_overlapping_and_dense() || !is_written,
              "Tensors must be contiguous");
  at::Tensor host = at::empty(
      t.sizes(), at::TensorOptions().dtype(t.dtype()).device(at::kCPU).pinned_memory(true));
  return {t, host, is_read, is_written};
}

std::vector<Slot> each(const std::vector<at::Tensor>& all, Slot (*make)(const at::Tensor&)) {
  std::vector<Slot> slots;
  for (const at::Tensor& t : all) slots.push_back(make(t));
  return slots;
}

// Element types that Gloo moves and adds.
bool is_known(at::ScalarType t) {
  switch (t) {
    case at::kFloat:
    case at::kDouble:
    case at::kHalf:
    case at::kBFloat16:
    case at::kChar:
    case at::kByte:
    case at::kInt:
    case at::kLong: return true;
    default: return false;
  }
}

at::Tensor as_bytes(const at::Tensor& host) {
  if (is_known(host.scalar_type())) return host;
  return (host.dim() == 0 ? host.reshape({1}) : host).view(at::kByte);
}

// Truth values travel as bytes: their sum is their "or", as NCCL has it.
ReduceOp::RedOpType of_truth_values(ReduceOp::RedOpType op) {
  switch (op) {
    case ReduceOp::SUM:
    case ReduceOp::MAX:
    case ReduceOp::BOR: return ReduceOp::MAX;
    case ReduceOp::PRODUCT:
    case ReduceOp::MIN:
    case ReduceOp::BAND: return ReduceOp::MIN;
    case ReduceOp::BXOR: return ReduceOp::BXOR;
    default: TORCH_CHECK(false, "Cannot use ReduceOp.AVG or PREMUL_SUM with Bool");
  }
}

}  // namespace

Slot reads(const at::Tensor& t) { return slot(t, true, false); }
Slot writes(const at::Tensor& t) { return slot(t, false, true); }
Slot updates(const at::Tensor& t) { return slot(t, true, true); }
std::vector<Slot> reads(const std::vector<at::Tensor>& all) { return each(all, &reads); }
std::vector<Slot> writes(const std::vector<at::Tensor>& all) { return each(all, &writes); }
std::vector<Slot> updates(const std::vector<at::Tensor>& all) { return each(all, &updates); }

std::vector<Slot> operator+(std::vector<Slot> a, const std::vector<Slot>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

std::vector<at::Tensor> hosts(const std::vector<Slot>& slots, size_t begin, size_t end) {
  std::vector<at::Tensor> all;
  for (size_t i = begin; i < end; ++i)
    all.push_back(slots[i].host.is_complex() ? at::view_as_real(slots[i].host) : slots[i].host);
  return all;
}
std::vector<at::Tensor> bytes(const std::vector<Slot>& slots, size_t begin, size_t end) {
  std::vector<at::Tensor> all;
  for (size_t i = begin; i < end; ++i) all.push_back(as_bytes(slots[i].host));
  return all;
}

Reduction prepare(const ReduceOp& op, int ranks, std::vector<Slot>& slots) {
  Reduction reduction{op};
  if (op.op_ == ReduceOp::AVG) {
    reduction = {ReduceOp(ReduceOp::SUM), 1, static_cast<double>(ranks)};
  } else if (op.op_ == ReduceOp::PREMUL_SUM) {
    const auto* given = dynamic_cast<const c10d::PreMulSumSupplement*>(op.supplement_.get());
    TORCH_CHECK(given, "PREMUL_SUM without its factor");
    const at::Tensor& t = given->tensor_factor;
    reduction = {ReduceOp(ReduceOp::SUM), t.defined() ? t.item<double>() : given->double_factor};
  }
  for (Slot& slot : slots) {
    const at::ScalarType type = slot.device.scalar_type();
    slot.factor = reduction.before;
    if (type == at::kBool) {
      reduction.op = ReduceOp(of_truth_values(op.op_));
      slot.host =
          at::empty(slot.host.sizes(), slot.host.options().dtype(at::kByte).pinned_memory(true));
    } else if (c10::isComplexType(type)) {
      TORCH_CHECK(reduction.op.op_ == ReduceOp::SUM,
                  "reduce: complex tensors can be summed and "
                  "averaged only");
    } else {
      TORCH_CHECK_TYPE(is_known(type), "reduce: ", type, " is not supported");
    }
  }
  return reduction;
}

std::function<void(std::vector<Slot>&)> finisher(const Reduction& reduction) {
  if (reduction.after == 1) return nullptr;
  return [ranks = reduction.after](std::vector<Slot>& slots) {
    for (Slot& slot : slots) {
      if (!slot.writes) continue;
      if (at::isIntegralType(slot.device.scalar_type(), /*includeBool=*/false))
        slot.device.div_(static_cast<int64_t>(ranks), "trunc");
      else slot.device.div_(ranks);
    }
  };
}

}  // namespace trn::comm
