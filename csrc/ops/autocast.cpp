// Mixed precision: the policy lists are PyTorch's own, the ones CUDA uses.
#include <ATen/autocast_mode.h>
#include <torch/library.h>

namespace {

at::Tensor refuse_binary_cross_entropy(const at::Tensor&, const at::Tensor&,
                                       const std::optional<at::Tensor>&, int64_t) {
  TORCH_CHECK(false,
              "torch.nn.functional.binary_cross_entropy and torch.nn.BCELoss are unsafe to "
              "autocast.\nMany models use a sigmoid layer right before the binary cross entropy "
              "layer.\nIn this case, combine the two layers using "
              "torch.nn.functional.binary_cross_entropy_with_logits\nor "
              "torch.nn.BCEWithLogitsLoss.  binary_cross_entropy_with_logits and "
              "BCEWithLogits are\nsafe to autocast.");
}

// Operators that TorchScript puts around those of the lists, where "cuda" was asked for.
at::Tensor to_reduced(const at::Tensor& self, bool cuda, bool, at::ScalarType type,
                      at::ScalarType) {
  return cuda && self.scalar_type() == at::kFloat ? self.to(type) : self;
}
at::Tensor to_full(const at::Tensor& self, bool cuda, bool) {
  const bool low = self.scalar_type() == at::kHalf || self.scalar_type() == at::kBFloat16;
  return cuda && low ? self.to(at::kFloat) : self;
}

TORCH_LIBRARY_IMPL(aten, AutogradPrivateUse1, m) {
  m.impl("_autocast_to_reduced_precision", &to_reduced);
  m.impl("_autocast_to_full_precision", &to_full);
}
TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("_autocast_to_reduced_precision", &to_reduced);
  m.impl("_autocast_to_full_precision", &to_full);
}

}  // namespace

namespace at::autocast {

// Everything that no list names passes through untouched.
TORCH_LIBRARY_IMPL(_, AutocastPrivateUse1, m) { m.fallback(torch::CppFunction::makeFallthrough()); }

TORCH_LIBRARY_IMPL(aten, AutocastPrivateUse1, m) {
#define TRN_LOWER_PRECISION(...) KERNEL_PRIVATEUSEONE(__VA_ARGS__, lower_precision_fp)
  AT_FORALL_LOWER_PRECISION_FP(TRN_LOWER_PRECISION)
  // Whole layers, as on CUDA where _cudnn_rnn casts for them: else every step would cast anew.
  TRN_LOWER_PRECISION(lstm, input)
  TRN_LOWER_PRECISION(lstm, data)
  TRN_LOWER_PRECISION(gru, input)
  TRN_LOWER_PRECISION(gru, data)
  TRN_LOWER_PRECISION(rnn_tanh, input)
  TRN_LOWER_PRECISION(rnn_tanh, data)
  TRN_LOWER_PRECISION(rnn_relu, input)
  TRN_LOWER_PRECISION(rnn_relu, data)
#undef TRN_LOWER_PRECISION
#define TRN_FP32(...) KERNEL_PRIVATEUSEONE(__VA_ARGS__, fp32)
  AT_FORALL_FP32(TRN_FP32)
#undef TRN_FP32
#define TRN_FP32_SET_OPT_DTYPE(...) KERNEL_PRIVATEUSEONE(__VA_ARGS__, fp32_set_opt_dtype)
  AT_FORALL_FP32_SET_OPT_DTYPE(TRN_FP32_SET_OPT_DTYPE)
#undef TRN_FP32_SET_OPT_DTYPE
  AT_FORALL_DIFFERENT_REDISPATCH_SIGNATURE(KERNEL_DIFFERENT_REDISPATCH_SIGNATURE_PRIVATEUSEONE)
#define TRN_PROMOTE(...) KERNEL_PRIVATEUSEONE(__VA_ARGS__, promote)
  AT_FORALL_PROMOTE(TRN_PROMOTE)
#undef TRN_PROMOTE
  m.impl(TORCH_SELECTIVE_NAME("aten::binary_cross_entropy"), TORCH_FN(refuse_binary_cross_entropy));
}

}  // namespace at::autocast
