// The loss of connectionist temporal classification and its gradient.
#include <ATen/TensorUtils.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include <numeric>

#include "ops/elementwise.h"
#include "ops/op.h"

namespace trn::ops {
namespace {

const Family ctc_loss("ctc_loss"), ctc_loss_backward("ctc_loss_backward");
constexpr const char* kWhere = "ctc_loss_allocate_outputs";

struct Targets {
  at::Tensor flat, lengths;  // lengths [3, batch]: of inputs, of targets, where targets start
  int64_t stride, longest;
};

void check_lengths(const char* name, at::IntArrayRef lengths) {
  for (int64_t n : lengths)
    TORCH_CHECK(n >= 0, "Expected ", name, " to have value at least 0, but got value ", n,
                " (while checking arguments for ", kWhere, ")");
}

Targets layout(const at::Tensor& log_probs, const at::Tensor& targets,
               at::IntArrayRef input_lengths, at::IntArrayRef target_lengths) {
  const int64_t batch = log_probs.size(1);
  const at::TensorArg targets_arg{targets, "targets", 2};
  Targets t;
  std::vector<int64_t> host(input_lengths.begin(), input_lengths.end());
  host.insert(host.end(), target_lengths.begin(), target_lengths.end());
  if (targets.dim() == 1) {  // one after the other
    int64_t start = 0;
    for (int64_t n : target_lengths) {
      host.push_back(start * targets.stride(0));
      start += n;
    }
    t.longest = batch ? *std::max_element(target_lengths.begin(), target_lengths.end()) : 0;
    t.stride = targets.stride(0);
    at::checkSize(kWhere, targets_arg, 0, start);
  } else {
    for (int64_t b = 0; b < batch; ++b) {
      host.push_back(b * targets.stride(0));
      TORCH_CHECK(target_lengths[b] <= targets.size(1), "Expected tensor to have size at least ",
                  target_lengths[b], " at dimension 1, but got size ", targets.size(1), " for ",
                  targets_arg, " (while checking arguments for ", kWhere, ")");
    }
    t.longest = targets.size(1);
    t.stride = targets.stride(1);
    at::checkSize(kWhere, targets_arg, 0, batch);
  }
  t.flat = targets;
  const at::Tensor on_host = at::from_blob(host.data(), {3, batch}, at::kLong);
  t.lengths = at::empty({3, batch}, log_probs.options().dtype(at::kLong)).copy_(on_host);
  return t;
}

void check(const at::Tensor& log_probs, const at::Tensor& targets, at::IntArrayRef input_lengths,
           at::IntArrayRef target_lengths, int64_t blank) {
  TORCH_CHECK(log_probs.numel() > 0, "log_probs tensor must not be empty");
  const at::TensorArg probs_arg{log_probs, "log_probs", 1}, targets_arg{targets, "targets", 2};
  at::checkScalarType(kWhere, targets_arg,
                      targets.scalar_type() == at::kLong ? at::kLong : at::kInt);
  at::checkDim(kWhere, probs_arg, 3);
  at::checkDimRange(kWhere, targets_arg, 1, 3);
  const int64_t batch = log_probs.size(1);
  TORCH_CHECK(0 <= blank && blank < log_probs.size(2), "blank must be in label range");
  TORCH_CHECK(static_cast<int64_t>(input_lengths.size()) == batch,
              "input_lengths must be of size batch_size");
  TORCH_CHECK(static_cast<int64_t>(target_lengths.size()) == batch,
              "target_lengths must be of size batch_size");
  check_lengths("input_lengths", input_lengths);
  check_lengths("target_lengths", target_lengths);
  for (int64_t n : input_lengths)
    TORCH_CHECK(n <= log_probs.size(0), "Expected input_lengths to have value at most ",
                log_probs.size(0), ", but got value ", n, " (while checking arguments for ", kWhere,
                ")");
}

}  // namespace

std::tuple<at::Tensor, at::Tensor> TRN_OP(_ctc_loss)(const at::Tensor& log_probs,
                                                     const at::Tensor& targets,
                                                     at::IntArrayRef input_lengths,
                                                     at::IntArrayRef target_lengths, int64_t blank,
                                                     bool) {
  check(log_probs, targets, input_lengths, target_lengths, blank);
  const Targets t = layout(log_probs, targets, input_lengths, target_lengths);
  const int64_t time = log_probs.size(0), batch = log_probs.size(1), states = 2 * t.longest + 1;
  const auto options = log_probs.options().memory_format(std::nullopt);
  const at::Tensor alpha = at::empty({batch, time, states}, options);
  const at::Tensor losses = at::empty({batch}, options);
  Launch(ctc_loss, dtype_of(log_probs))
      .out(losses)
      .out(alpha)
      .in(log_probs)
      .in(t.flat)
      .in(t.lengths)
      .ints({blank, t.stride})
      .may_fault()
      .run(batch, grain_for(time * states * 60));
  return {losses, alpha};
}

at::Tensor TRN_OP(_ctc_loss_backward)(const at::Tensor& grad, const at::Tensor& log_probs,
                                      const at::Tensor& targets, at::IntArrayRef input_lengths,
                                      at::IntArrayRef target_lengths,
                                      const at::Tensor& neg_log_likelihood,
                                      const at::Tensor& log_alpha, int64_t blank,
                                      bool zero_infinity) {
  const Targets t = layout(log_probs, targets, input_lengths, target_lengths);
  const int64_t time = log_probs.size(0), batch = log_probs.size(1), states = log_alpha.size(2);
  const at::Tensor out =
      at::empty(log_probs.sizes(), log_probs.options().memory_format(std::nullopt));
  const at::Tensor beta = at::empty({batch, 2, states}, log_alpha.options());
  Launch(ctc_loss_backward, dtype_of(log_probs))
      .out(out)
      .out(beta)
      .in(neg_log_likelihood.contiguous())
      .in(log_alpha.contiguous())
      .in(grad.expand({batch}))
      .in(log_probs)
      .in(t.flat)
      .in(t.lengths)
      .ints({blank, t.stride, zero_infinity})
      .run(batch, grain_for(time * (states * 80 + log_probs.size(2) * 30)));
  return out;
}

}  // namespace trn::ops
