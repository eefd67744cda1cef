// Scaled dot product attention: which way it takes, and the fused kernels' forward and backward
// under each name that PyTorch has for them.
#include "attention.h"

#include <ATen/Context.h>
#include <ATen/ExpandUtils.h>
#include <ATen/native/DispatchStub.h>
#include <ATen/native/transformers/attention.h>
#include <ATen/native/transformers/sdp_utils_cpp.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/select.h>
#include <ATen/ops/zeros.h>

#include "ops/attention_results.h"
#include "processor.h"
#include "runtime/capture.h"
#include "runtime/generator.h"

namespace trn::ops {
namespace {

using Mask = std::optional<at::Tensor>;
using Scale = std::optional<double>;

const Family attention("attention"), attention_backward("attention_backward"),
    attention_stats("attention_stats"), attention_sum("attention_sum"),
    attention_state("attention_state");

// Why the fused kernels cannot serve, or null if they can.
const char* obstacle(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                     const Mask& mask) {
  for (const at::Tensor* t : {&q, &k, &v}) {
    if (t->is_nested() || t->layout() != at::kStrided) return "tensors are not dense";
    if (t->dim() != 4) return "tensors are not of four dimensions";
    // The fused operator returns numbers beside tensors, which vmap cannot batch.
    if (t->unsafeGetTensorImpl()->key_set().has(c10::DispatchKey::FuncTorchBatched))
      return "tensors are batched by vmap";
    if (t->scalar_type() != q.scalar_type()) return "tensors are of different types";
  }
  switch (q.scalar_type()) {
    case at::kFloat:
    case at::kHalf:
    case at::kBFloat16: break;
    default: return "tensors are not float32, float16 or bfloat16";
  }
  // Symbolic sizes: torch.compile asks too, and must not be bound to the numbers of today.
  const auto size = [](const at::Tensor& t, int64_t dim) { return t.sym_size(dim); };
  if (size(q, 0) != size(k, 0) || size(q, 0) != size(v, 0)) return "batches differ";
  if (size(k, 1) != size(v, 1) || size(k, 1) == 0 || size(q, 1) % size(k, 1) != 0)
    return "heads differ";
  if (size(k, 2) != size(v, 2)) return "keys and values differ in number";
  if (size(k, 3) != size(q, 3)) return "queries and keys differ in length";
  if (size(q, 3) > kMaxHead || size(v, 3) > kMaxHead) return "heads are longer than 256";
  if (q.sym_numel() == 0 || k.sym_numel() == 0 || v.sym_numel() == 0) return "a tensor is empty";
  if (mask && mask->defined() && (mask->is_nested() || mask->dim() > 4))
    return "the mask is not dense";
  return nullptr;
}

// One problem as the kernels have it.
struct Attention {
  at::Tensor q, k, v, mask;  // mask: expanded, or undefined
  bool causal;
  double scale, dropout;
  int64_t seed = 0, offset = 0;
  at::Tensor seed_there, offset_there;  // the same on the device: defined where a graph draws them

  Attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
            const Mask& bias, double dropout, bool causal, Scale scale)
      : q(query), k(key), v(value), causal(causal), dropout(dropout) {
    const char* reason = obstacle(q, k, v, std::nullopt);
    TORCH_CHECK(!reason, "fused scaled_dot_product_attention: ", reason);
    TORCH_CHECK(dropout >= 0 && dropout <= 1,
                "dropout probability has to be between 0 and 1, but got ", dropout);
    if (bias && bias->defined()) mask = bias->expand({q.size(0), q.size(1), q.size(2), k.size(2)});
    this->scale = sdp::calculate_scale(q, scale).expect_float();
  }
  int64_t queries() const { return q.size(2); }
  int64_t keys() const { return k.size(2); }
  // Blocks of a kind that cover the queries of one key head.
  int64_t query_blocks() const {
    return (q.size(1) / k.size(1) * queries() + kQueryBlock - 1) / kQueryBlock;
  }
  int64_t key_heads() const { return k.size(0) * k.size(1); }
};

// Uninitialised, laid out in memory as `like` is.
at::Tensor empty_as(const at::Tensor& like, int64_t head) {
  if (like.size(3) == head && like.is_non_overlapping_and_dense()) return at::empty_like(like);
  const bool by_position = like.stride(1) < like.stride(2);  // heads lie beside each other
  if (!by_position)
    return at::empty({like.size(0), like.size(1), like.size(2), head}, like.options());
  return at::empty({like.size(0), like.size(2), like.size(1), head}, like.options())
      .transpose(1, 2);
}

// A graph draws anew at each replay: another graph, of the backward, has to read what it drew.
void draw_there(Attention& a) {
  if (!runtime::capture_of(runtime::current_stream(a.q.device().index()))) return;
  const at::Tensor state = at::empty({2}, a.q.options().dtype(at::kLong));
  Launch(attention_state, DType::i64).out(state).ints({a.seed, a.offset}).run(1, 1);
  a.seed_there = state.select(0, 0);
  a.offset_there = state.select(0, 1);
}
at::Tensor seed_of(const Attention& a) {
  return a.seed_there.defined() ? a.seed_there : number(a.seed);
}
at::Tensor offset_of(const Attention& a) {
  return a.offset_there.defined() ? a.offset_there : number(a.offset);
}

// (out, logsumexp)
std::pair<at::Tensor, at::Tensor> forward(Attention& a) {
  at::Tensor out = empty_as(a.q, a.v.size(3));
  at::Tensor logsumexp =
      at::empty({a.q.size(0), a.q.size(1), a.queries()}, a.q.options().dtype(at::kFloat));
  if (a.dropout > 0) {
    const auto [seed, offset] = runtime::reserve(std::nullopt, a.q.device().index(), kDropoutDraws);
    a.seed = static_cast<int64_t>(seed);
    a.offset = static_cast<int64_t>(offset);
    draw_there(a);
  }
  const int64_t block = attention_forward_keys(a.q.size(3), a.v.size(3), caches().l2);
  Launch(attention, dtype_of(a.q))
      .out(out)
      .out(logsumexp)
      .in(a.q)
      .in(a.k)
      .in(a.v)
      .in(a.mask)
      .ints({a.causal, block, a.seed, a.offset})
      .reals({a.scale, a.dropout})
      .run(a.query_blocks() * a.key_heads(), 1);
  return {out, logsumexp};
}

// Parts of the keys whose shares of dQ are kept apart: enough for many threads, yet a fixed number
// of copies, so that memory grows as the length does.
constexpr int64_t kWantedItems = 32, kMostCopies = 8;

std::array<at::Tensor, 4> backward(const Attention& a, const at::Tensor& grad_out,
                                   const at::Tensor& out, const at::Tensor& logsumexp,
                                   bool wants_mask) {
  at::Tensor dq = empty_as(a.q, a.q.size(3)), dk = empty_as(a.k, a.k.size(3)),
             dv = empty_as(a.v, a.v.size(3));
  const auto floats = a.q.options().dtype(at::kFloat);
  at::Tensor dmask;
  if (wants_mask) dmask = at::zeros(a.mask.sizes(), a.mask.options());
  const int64_t rows = a.q.size(0) * a.q.size(1) * a.queries();
  const at::Tensor stats = at::empty({2 * rows + kStateFloats}, floats);
  Launch(attention_stats, dtype_of(a.q))
      .out(stats)
      .in(out)
      .in(grad_out)
      .in(logsumexp)
      .in(a.seed_there)
      .in(a.offset_there)
      .ints({a.seed, a.offset})
      .run(rows, grain_for(2 * out.size(3)));

  const int64_t block = attention_backward_keys(a.q.size(3), a.v.size(3), caches().l2);
  const int64_t blocks = (a.keys() + block - 1) / block;
  const int64_t wanted =
      std::min({blocks, kMostCopies, (kWantedItems + a.key_heads() - 1) / a.key_heads()});
  const int64_t chunk = (blocks + wanted - 1) / wanted * block;
  const int64_t copies = (a.keys() + chunk - 1) / chunk;
  const at::Tensor shares =
      at::empty({copies, a.q.size(0), a.q.size(1), a.queries(), a.q.size(3)}, floats);
  Launch(attention_backward, dtype_of(a.q))
      .out(shares)
      .out(dk)
      .out(dv)
      .out(dmask)
      .in(a.q)
      .in(a.k)
      .in(a.v)
      .in(a.mask)
      .in(grad_out)
      .in(stats)
      .ints({a.causal, block, 0, 0, chunk})
      .reals({a.scale, a.dropout})
      .run(copies * a.key_heads(), 1);
  Launch(attention_sum, dtype_of(a.q))
      .out(dq)
      .in(shares)
      .reals({a.scale})
      .run(rows, grain_for(copies * a.q.size(3)));
  return {dq, dk, dv, dmask};
}

using Wide = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, c10::SymInt, c10::SymInt,
                        at::Tensor, at::Tensor, at::Tensor>;
Wide wide_forward(Attention a) {
  const auto [out, logsumexp] = forward(a);
  return {out,      logsumexp,  at::Tensor(), at::Tensor(), a.queries(),
          a.keys(), seed_of(a), offset_of(a), at::Tensor()};
}

// Gradients of (q, k, v, mask) for whichever signature.
std::array<at::Tensor, 4> backward_of(Attention a, const Mask& bias, bool wants_bias,
                                      const at::Tensor& grad_out, const at::Tensor& out,
                                      const at::Tensor& logsumexp, const at::Tensor& seed,
                                      const at::Tensor& offset) {
  if (a.dropout > 0 && seed.is_cpu()) {
    a.seed = seed.item<int64_t>();
    a.offset = offset.item<int64_t>();
  } else if (a.dropout > 0) {
    a.seed_there = seed;
    a.offset_there = offset;
  }
  std::array<at::Tensor, 4> grads =
      backward(a, grad_out, out, logsumexp, wants_bias && a.mask.defined());
  if (grads[3].defined()) grads[3] = at::sum_to(grads[3], bias->sizes());
  return grads;
}

}  // namespace

// PyTorch's answer names a backend; any of the fused ones that the program allows is ours, and
// leads to the one that is meant for devices like this. math goes first only where the program put
// it before all of them.
int64_t TRN_OP(_fused_sdp_choice)(const at::Tensor& query, const at::Tensor& key,
                                  const at::Tensor& value, const Mask& attn_mask, double, bool,
                                  Scale, bool enable_gqa) {
  const auto& context = at::globalContext();
  const bool fused = context.userEnabledFlashSDP() || context.userEnabledMemEfficientSDP() ||
                     context.userEnabledCuDNNSDP() || context.userEnabledOverrideableSDP();
  const bool math = context.userEnabledMathSDP();
  const bool math_first = math && at::globalContext().sDPPriorityOrder()[0] == at::SDPBackend::math;
  const char* reason = obstacle(query, key, value, attn_mask);
  if (!reason && query.sym_size(1) != key.sym_size(1) && !enable_gqa) reason = "heads differ";
  // torch.func has rules of batching and of forward derivatives for the operators of math alone.
  if (!reason &&
      c10::impl::tls_is_dispatch_key_included(c10::DispatchKey::FuncTorchDynamicLayerBackMode))
    reason = "a transform of torch.func";
  if (fused && !reason && !math_first) return static_cast<int64_t>(at::SDPBackend::overrideable);
  if (math) return static_cast<int64_t>(at::SDPBackend::math);
  TORCH_CHECK(!fused || !reason,
              "No available kernel. Aborting execution. The fused kernel of trn: ", reason);
  TORCH_CHECK(false, "No viable backend for scaled_dot_product_attention was found.");
}

Wide TRN_OP(_scaled_dot_product_fused_attention_overrideable)(
    const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, const Mask& attn_bias,
    double dropout_p, bool is_causal, bool, Scale scale) {
  return wide_forward({query, key, value, attn_bias, dropout_p, is_causal, scale});
}

Four TRN_OP_ACROSS(_scaled_dot_product_fused_attention_overrideable_backward)(
    const at::Tensor& grad_out, const at::Tensor& query, const at::Tensor& key,
    const at::Tensor& value, const at::Tensor& attn_bias, std::array<bool, 4> grad_input_mask,
    const at::Tensor& out, const at::Tensor& logsumexp, const at::Tensor&, const at::Tensor&,
    int64_t, int64_t, double dropout_p, bool is_causal, const at::Tensor& philox_seed,
    const at::Tensor& philox_offset, Scale scale) {
  auto [dq, dk, dv, dbias] =
      backward_of({query, key, value, attn_bias, dropout_p, is_causal, scale}, attn_bias,
                  grad_input_mask[3], grad_out, out, logsumexp, philox_seed, philox_offset);
  return {dq, dk, dv, dbias};
}

Wide TRN_OP(_scaled_dot_product_flash_attention)(const at::Tensor& query, const at::Tensor& key,
                                                 const at::Tensor& value, double dropout_p,
                                                 bool is_causal, bool, Scale scale) {
  return wide_forward({query, key, value, std::nullopt, dropout_p, is_causal, scale});
}

Three TRN_OP_ACROSS(_scaled_dot_product_flash_attention_backward)(
    const at::Tensor& grad_out, const at::Tensor& query, const at::Tensor& key,
    const at::Tensor& value, const at::Tensor& out, const at::Tensor& logsumexp, const at::Tensor&,
    const at::Tensor&, int64_t, int64_t, double dropout_p, bool is_causal,
    const at::Tensor& philox_seed, const at::Tensor& philox_offset, Scale scale) {
  auto [dq, dk, dv, none] =
      backward_of({query, key, value, std::nullopt, dropout_p, is_causal, scale}, std::nullopt,
                  false, grad_out, out, logsumexp, philox_seed, philox_offset);
  return {dq, dk, dv};
}

Four TRN_OP(_scaled_dot_product_efficient_attention)(const at::Tensor& query, const at::Tensor& key,
                                                     const at::Tensor& value, const Mask& attn_bias,
                                                     bool, double dropout_p, bool is_causal,
                                                     Scale scale) {
  Attention a{query, key, value, attn_bias, dropout_p, is_causal, scale};
  const auto [out, logsumexp] = forward(a);
  return {out, logsumexp, seed_of(a), offset_of(a)};
}

Four TRN_OP_ACROSS(_scaled_dot_product_efficient_attention_backward)(
    const at::Tensor& grad_out, const at::Tensor& query, const at::Tensor& key,
    const at::Tensor& value, const at::Tensor& attn_bias, const at::Tensor& out,
    const at::Tensor& logsumexp, const at::Tensor& philox_seed, const at::Tensor& philox_offset,
    double dropout_p, std::array<bool, 4> grad_input_mask, bool is_causal, Scale scale) {
  auto [dq, dk, dv, dbias] =
      backward_of({query, key, value, attn_bias, dropout_p, is_causal, scale}, attn_bias,
                  grad_input_mask[3], grad_out, out, logsumexp, philox_seed, philox_offset);
  return {dq, dk, dv, dbias};
}

}  // namespace trn::ops

namespace at::native {
REGISTER_PRIVATEUSE1_DISPATCH(_fused_sdp_choice_stub, &trn::ops::_fused_sdp_choice)
}
