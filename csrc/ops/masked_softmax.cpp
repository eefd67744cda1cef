// Softmax under a mask, and the projection of queries, keys and values: parts of PyTorch's
// transformer inference path that are operators of their own.
#include <ATen/TensorOperators.h>
#include <ATen/ops/_masked_softmax.h>
#include <ATen/ops/_softmax.h>
#include <ATen/ops/_softmax_backward_data.h>

#include <cmath>
#include <limits>

#include "ops/op.h"

namespace trn::ops {
namespace {

enum MaskType : int64_t { kSource, kPadding, kFull };

// A mask over scores [batch, heads, queries, keys]: [queries, keys], [batch, keys], or of its size.
at::Tensor over_scores(const at::Tensor& mask, const at::Tensor& scores,
                       std::optional<int64_t> type) {
  if (type && *type == kSource) {
    TORCH_CHECK(mask.dim() == 2 && scores.dim() == 4, "Mask shape should be L x L, got ",
                mask.sizes());
    return mask.view({1, 1, mask.size(0), mask.size(1)}).expand(scores.sizes());
  }
  if (type && *type == kPadding) {
    TORCH_CHECK(mask.dim() == 2 && scores.dim() == 4, "Mask shape should be B x L, got ",
                mask.sizes());
    return mask.view({mask.size(0), 1, 1, mask.size(1)}).expand(scores.sizes());
  }
  TORCH_CHECK(!type || *type == kFull,
              "Mask Type should be 0 (src_mask), 1 (src_key_padding_mask), or 2 (default_mask)");
  TORCH_CHECK(mask.sizes() == scores.sizes(), "Mask shape should match input. mask: ", mask.sizes(),
              " input: ", scores.sizes());
  return mask;
}

}  // namespace

at::Tensor TRN_OP(_masked_softmax)(const at::Tensor& self, const at::Tensor& mask,
                                   std::optional<int64_t> dim, std::optional<int64_t> mask_type) {
  TORCH_CHECK(mask.scalar_type() == at::kBool, "Mask should be a boolean tensor");
  const at::Tensor scores = self.masked_fill(over_scores(mask, self, mask_type),
                                             -std::numeric_limits<double>::infinity());
  return at::_softmax(scores, dim.value_or(self.dim() - 1), false);
}

// Masked places have value 0, and so no gradient.
at::Tensor TRN_OP(_masked_softmax_backward)(const at::Tensor& grad_output, const at::Tensor& output,
                                            const at::Tensor& mask, std::optional<int64_t> dim) {
  TORCH_CHECK(grad_output.sizes() == mask.sizes(), "Mask shape should match grad shape");
  return at::_softmax_backward_data(grad_output, output, dim.value_or(output.dim() - 1),
                                    output.scalar_type())
      .masked_fill(mask, 0);
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> TRN_OP(_transform_bias_rescale_qkv)(
    const at::Tensor& qkv, const at::Tensor& qkv_bias, int64_t num_heads) {
  const int64_t batch = qkv.size(0), time = qkv.size(1), width = qkv.size(2) / 3;
  TORCH_CHECK(width % num_heads == 0 && qkv.size(2) % 3 == 0);
  // [3, batch, heads, time, width of a head], dense.
  const at::Tensor parts = (qkv + qkv_bias)
                               .view({batch, time, 3, num_heads, width / num_heads})
                               .permute({2, 0, 3, 1, 4})
                               .contiguous();
  const double scale = 1.0 / std::sqrt(static_cast<double>(width / num_heads));
  return {parts.select(0, 0).mul_(scale), parts.select(0, 1), parts.select(0, 2)};
}

}  // namespace trn::ops
