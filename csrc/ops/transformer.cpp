// The inference path of nn.MultiheadAttention and nn.TransformerEncoderLayer.
#include <ATen/ops/empty_like.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/logical_not.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/softmax.h>

#include <cmath>

#include "ops/op.h"

namespace trn::ops {
namespace {

// Heads [batch, heads, length, head] of a projection [batch, length, heads * head].
at::Tensor heads_of(const at::Tensor& x, int64_t heads) {
  return x.view({x.size(0), x.size(1), heads, x.size(2) / heads}).transpose(1, 2);
}

struct Projections {
  at::Tensor q, k, v;
};

Projections project(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                    const at::Tensor& weight, const at::Tensor& bias, int64_t heads) {
  if (query.is_same(key) && key.is_same(value)) {
    const auto parts = at::linear(query, weight, bias).chunk(3, -1);
    return {heads_of(parts[0], heads), heads_of(parts[1], heads), heads_of(parts[2], heads)};
  }
  const auto w = weight.chunk(3, 0), b = bias.chunk(3, 0);
  return {heads_of(at::linear(query, w[0], b[0]), heads),
          heads_of(at::linear(key, w[1], b[1]), heads),
          heads_of(at::linear(value, w[2], b[2]), heads)};
}

// What may be attended to, broadcast over [batch, heads, queries, keys]. The given mask says what
// may not; its type is 0 for [queries, keys], 1 for [batch, keys], 2 for all four dimensions.
std::optional<at::Tensor> allowed(const std::optional<at::Tensor>& mask,
                                  std::optional<int64_t> type) {
  if (!mask || !mask->defined()) return std::nullopt;
  TORCH_CHECK(type.has_value(), "Mask Type should be defined");
  const at::Tensor keep = at::logical_not(*mask);
  if (*type == 1) return keep.unsqueeze(1).unsqueeze(1);
  return keep;
}

void check_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                     int64_t width, int64_t heads, const at::Tensor& weight,
                     const at::Tensor& bias) {
  TORCH_CHECK(query.dim() == 3, "expected 3-D `query`, got ", query.dim(), "-D tensor");
  TORCH_CHECK(query.size(2) == width, "passed-in embed_dim ", width,
              " didn't match last dim of query ", query.size(2));
  TORCH_CHECK(key.dim() == 3, "expected 3-D `key`, got ", key.dim(), "-D tensor");
  TORCH_CHECK(value.dim() == 3, "expected 3-D `value`, got ", value.dim(), "-D tensor");
  TORCH_CHECK(query.sizes() == key.sizes() && key.sizes() == value.sizes(),
              "expected `query`/`key`/`value` shapes to match");
  TORCH_CHECK(weight.dim() == 2, "expected 2-D `qkv_weight`, got ", weight.dim(), "-D tensor");
  TORCH_CHECK(3 * width == weight.size(0), "expected `qkv_weight` first dim to be 3x embed_dim");
  TORCH_CHECK(width == weight.size(1), "expected `qkv_weight` second dim to be embed_Dim");
  TORCH_CHECK(bias.dim() == 1, "expected 1-D `qkv_bias`, got ", bias.dim(), "-D tensor");
  TORCH_CHECK(bias.size(0) == 3 * width,
              "expected `qkv_bias` first dim and first dim of query to be equal");
  TORCH_CHECK(width % heads == 0, "`embed_dim` must divide evenly by `num_heads`");
}

}  // namespace

// query, key, value [batch, length, embed_dim] -> (output like query, weights or undefined).
std::tuple<at::Tensor, at::Tensor> TRN_OP(_native_multi_head_attention)(
    const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, int64_t embed_dim,
    int64_t num_head, const at::Tensor& qkv_weight, const at::Tensor& qkv_bias,
    const at::Tensor& proj_weight, const at::Tensor& proj_bias,
    const std::optional<at::Tensor>& mask, bool need_weights, bool average_attn_weights,
    std::optional<int64_t> mask_type) {
  check_attention(query, key, value, embed_dim, num_head, qkv_weight, qkv_bias);
  if (query.numel() == 0) return {at::empty_like(query), at::Tensor()};

  const Projections x = project(query, key, value, qkv_weight, qkv_bias, num_head);
  const auto keep = allowed(mask, mask_type);
  at::Tensor context, weights;
  if (need_weights) {
    at::Tensor scores = at::matmul(x.q, x.k.transpose(-2, -1))
                            .div_(std::sqrt(static_cast<double>(embed_dim / num_head)));
    if (keep) scores.masked_fill_(at::logical_not(*keep), -INFINITY);
    weights = at::softmax(scores, -1);
    context = at::matmul(weights, x.v);
    if (average_attn_weights) weights = weights.mean(1);
  } else {
    context = at::scaled_dot_product_attention(x.q, x.k, x.v, keep);
  }
  const at::Tensor joined = context.transpose(1, 2).reshape(query.sizes());
  return {at::linear(joined, proj_weight, proj_bias), weights};
}

}  // namespace trn::ops
