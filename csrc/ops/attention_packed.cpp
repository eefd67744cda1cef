// Attention of sequences that lie one after another in one tensor: the operators below jagged
// tensors, torch.nn.attention.varlen and flash_attn's functions. Each sequence is a problem of the
// fused kernels; where they begin is read on the host, which waits for it.
#include <ATen/ops/_scaled_dot_product_efficient_attention.h>
#include <ATen/ops/_scaled_dot_product_efficient_attention_backward.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <limits>

#include "attention.h"
#include "ops/attention_results.h"

namespace trn::ops {
namespace {

using Optional = std::optional<at::Tensor>;
using Window = std::optional<int64_t>;

// Where a key may be seen: all, up to the query's own position counted from the first or from the
// last of both, and at most so far to the left and right of it (-1: any distance).
enum class Causal : int64_t { no, from_first, from_last };
struct Sight {
  Causal causal;
  int64_t left = -1, right = -1;
};

// Sequence i: queries [q[i], q[i + 1]) and keys [k[i], k_end[i]).
struct Sequences {
  std::vector<int64_t> q, k, k_end;
  size_t count() const { return k_end.size(); }
};

std::vector<int64_t> on_host(const at::Tensor& numbers) {
  const at::Tensor host = numbers.to(at::kCPU, at::kLong).contiguous();
  return {host.const_data_ptr<int64_t>(), host.const_data_ptr<int64_t>() + host.numel()};
}

// Dense batches are sequences of one length.
std::vector<int64_t> starts(const Optional& given, int64_t batch, int64_t length) {
  if (given && given->defined()) return on_host(*given);
  std::vector<int64_t> at(batch + 1);
  for (int64_t i = 0; i <= batch; ++i) at[i] = i * length;
  return at;
}

Sequences sequences(const Optional& cum_q, const Optional& cum_k, const Optional& used_k,
                    int64_t batch, int64_t queries, int64_t keys) {
  Sequences s{starts(cum_q, batch, queries), starts(cum_k, batch, keys), {}};
  TORCH_CHECK(s.q.size() == s.k.size(), "attention: ", s.q.size() - 1, " sequences of queries and ",
              s.k.size() - 1, " of keys");
  s.k_end.assign(s.k.begin() + 1, s.k.end());
  if (used_k && used_k->defined()) {
    const std::vector<int64_t> used = on_host(*used_k);
    TORCH_CHECK(used.size() == s.count(), "attention: ", used.size(), " lengths for ", s.count(),
                " sequences");
    for (size_t i = 0; i < used.size(); ++i) s.k_end[i] = std::min(s.k_end[i], s.k[i] + used[i]);
  }
  return s;
}

// One sequence as the fused kernels take it: q, k, v [1, heads, length, head].
struct Part {
  at::Tensor q, k, v;
  Optional mask;
  bool causal;
};

at::Tensor rows(const at::Tensor& t, int64_t begin, int64_t end) {
  return t.narrow(0, begin, end - begin).transpose(0, 1).unsqueeze(0);
}

Part part(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const Sequences& s,
          size_t i, const Sight& sight) {
  Part p{rows(q, s.q[i], s.q[i + 1]), rows(k, s.k[i], s.k_end[i]), rows(v, s.k[i], s.k_end[i]),
         std::nullopt, sight.causal != Causal::no};
  const int64_t queries = p.q.size(2), keys = p.k.size(2);
  const int64_t shift = sight.causal == Causal::from_first ? 0 : keys - queries;
  if ((!p.causal || shift == 0) && sight.left < 0 && sight.right < 0) return p;
  const int64_t right = p.causal ? 0 : sight.right;
  at::Tensor seen = at::ones({queries, keys}, q.options().dtype(at::kBool));
  if (right >= 0) seen = seen.tril(shift + right);
  if (sight.left >= 0) seen = seen.triu(shift - sight.left);
  p.mask = at::zeros({queries, keys}, q.options())
               .masked_fill_(seen.logical_not(), -std::numeric_limits<double>::infinity());
  p.causal = false;
  return p;
}

bool empty(const Part& p) { return p.q.numel() == 0 || p.k.numel() == 0; }

// Where Philox stands for the dropout of the first sequence; each of the others draws after it.
struct Random {
  int64_t seed = 0, offset = 0;
};

// out [queries, heads, head]; lse(i) is where sequence i's logarithms go, [heads, queries].
template <class Lse>
Random forward(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const Sequences& s,
               const Sight& sight, double dropout, std::optional<double> scale,
               const at::Tensor& out, Lse lse) {
  std::optional<Random> first;
  for (size_t i = 0; i < s.count(); ++i) {
    const Part p = part(q, k, v, s, i, sight);
    if (p.q.numel() == 0) continue;
    const at::Tensor to = rows(out, s.q[i], s.q[i + 1]);
    if (empty(p)) {
      to.zero_();
      lse(i).fill_(std::numeric_limits<double>::infinity());
      continue;
    }
    const auto [result, sums, seed, offset] = at::_scaled_dot_product_efficient_attention(
        p.q, p.k, p.v, p.mask, true, dropout, p.causal, scale);
    to.copy_(result);
    lse(i).copy_(sums[0]);
    if (!first) first = Random{seed.item<int64_t>(), offset.item<int64_t>()};
  }
  return first.value_or(Random{});
}

struct Gradients {
  at::Tensor q, k, v;
};
template <class Lse>
Gradients backward(const at::Tensor& grad, const at::Tensor& q, const at::Tensor& k,
                   const at::Tensor& v, const at::Tensor& out, const Sequences& s,
                   const Sight& sight, double dropout, std::optional<double> scale, Lse lse,
                   Random random) {
  Gradients g{at::zeros_like(q), at::zeros_like(k), at::zeros_like(v)};
  for (size_t i = 0; i < s.count(); ++i) {
    const Part p = part(q, k, v, s, i, sight);
    if (empty(p)) continue;
    const auto [dq, dk, dv, none] = at::_scaled_dot_product_efficient_attention_backward(
        rows(grad, s.q[i], s.q[i + 1]), p.q, p.k, p.v, p.mask.value_or(at::Tensor()),
        rows(out, s.q[i], s.q[i + 1]), lse(i).unsqueeze(0).contiguous(), number(random.seed),
        number(random.offset), dropout, {true, true, true, false}, p.causal, scale);
    random.offset += kDropoutDraws;
    rows(g.q, s.q[i], s.q[i + 1]).copy_(dq);
    rows(g.k, s.k[i], s.k_end[i]).copy_(dk);
    rows(g.v, s.k[i], s.k_end[i]).copy_(dv);
  }
  return g;
}

// [..., heads, head] as [positions, heads, head].
at::Tensor packed(const at::Tensor& t) { return t.dim() == 4 ? t.flatten(0, 1) : t; }
int64_t batch_of(const at::Tensor& t) { return t.dim() == 4 ? t.size(0) : 1; }
int64_t length_of(const at::Tensor& t) { return t.size(t.dim() - 3); }

Sight flash_sight(bool causal, const Window& left, const Window& right) {
  const auto distance = [](const Window& w) { return w.value_or(-1); };
  return {causal ? Causal::from_last : Causal::no, distance(left), distance(right)};
}
// Flash attention's logarithms: [heads, positions] of packed sequences, else [batch, heads,
// length].
auto flash_lse(const at::Tensor& lse, const Sequences& s) {
  return [&](size_t i) {
    return lse.dim() == 2 ? lse.narrow(1, s.q[i], s.q[i + 1] - s.q[i])
                          : lse.select(0, static_cast<int64_t>(i));
  };
}
// Memory-efficient attention's: [sequences, heads, longest], of which each has its part.
auto efficient_lse(const at::Tensor& lse, const Sequences& s) {
  return [&](size_t i) {
    return lse.select(0, static_cast<int64_t>(i)).narrow(1, 0, s.q[i + 1] - s.q[i]);
  };
}

using Five = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor>;
using Efficient =
    std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, c10::SymInt, c10::SymInt>;

}  // namespace

Five TRN_OP(_flash_attention_forward)(const at::Tensor& query, const at::Tensor& key,
                                      const at::Tensor& value, const Optional& cum_seq_q,
                                      const Optional& cum_seq_k, int64_t, int64_t, double dropout_p,
                                      bool is_causal, bool, std::optional<double> scale,
                                      Window window_size_left, Window window_size_right,
                                      const Optional& seqused_k, const Optional& alibi_slopes,
                                      const Optional& block_table, std::optional<int64_t>) {
  TORCH_CHECK_NOT_IMPLEMENTED(!alibi_slopes && !block_table,
                              "_flash_attention_forward: no alibi_slopes, no block_table on trn");
  const Sequences s =
      sequences(cum_seq_q, cum_seq_k, seqused_k, batch_of(query), length_of(query), length_of(key));
  const at::Tensor out = at::empty_like(query, at::MemoryFormat::Contiguous);
  const auto sums = query.options().dtype(at::kFloat);
  const int64_t heads = query.size(-2);
  const at::Tensor lse = query.dim() == 4 ? at::empty({query.size(0), heads, query.size(1)}, sums)
                                          : at::empty({heads, query.size(0)}, sums);
  const Random random = forward(packed(query), packed(key), packed(value), s,
                                flash_sight(is_causal, window_size_left, window_size_right),
                                dropout_p, scale, packed(out), flash_lse(lse, s));
  // As PyTorch's shape function has it: two unsigned numbers, and one that is not used.
  const at::Tensor state = at::stack({number(random.seed), number(random.offset)});
  return {out, lse, state.view(at::kUInt64), number(0).view(at::kUInt64),
          at::empty({0}, query.options())};
}

Three TRN_OP_ACROSS(_flash_attention_backward)(
    const at::Tensor& grad_out, const at::Tensor& query, const at::Tensor& key,
    const at::Tensor& value, const at::Tensor& out, const at::Tensor& logsumexp,
    const at::Tensor& cum_seq_q, const at::Tensor& cum_seq_k, int64_t, int64_t, double dropout_p,
    bool is_causal, const at::Tensor& rng_state, const at::Tensor&, std::optional<double> scale,
    Window window_size_left, Window window_size_right) {
  const Sequences s = sequences(cum_seq_q, cum_seq_k, std::nullopt, batch_of(query),
                                length_of(query), length_of(key));
  const at::Tensor state = rng_state.view(at::kLong);
  const Random random =
      dropout_p > 0 ? Random{state[0].item<int64_t>(), state[1].item<int64_t>()} : Random{};
  const Gradients g =
      backward(packed(grad_out), packed(query), packed(key), packed(value), packed(out), s,
               flash_sight(is_causal, window_size_left, window_size_right), dropout_p, scale,
               flash_lse(logsumexp, s), random);
  return {g.q.view_as(query), g.k.view_as(key), g.v.view_as(value)};
}

Efficient TRN_OP(_efficient_attention_forward)(
    const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, const Optional& bias,
    const Optional& cu_seqlens_q, const Optional& cu_seqlens_k, Window max_seqlen_q,
    Window max_seqlen_k, double dropout_p, int64_t custom_mask_type, bool,
    std::optional<double> scale, const Optional& seqlen_k, std::optional<int64_t> window_size) {
  TORCH_CHECK_NOT_IMPLEMENTED(!bias && !window_size,
                              "_efficient_attention_forward: no bias, no window_size on trn");
  const Sequences s = sequences(cu_seqlens_q, cu_seqlens_k, seqlen_k, batch_of(query),
                                length_of(query), length_of(key));
  at::DimVector sizes(query.sizes());
  sizes.back() = value.size(-1);
  const at::Tensor out = at::empty(sizes, query.options());
  int64_t longest = 1;
  for (size_t i = 0; i < s.count(); ++i) longest = std::max(longest, s.q[i + 1] - s.q[i]);
  constexpr int64_t kAligned = 32;  // as CUDA's kernel has it, and PyTorch's shape function
  const at::Tensor lse =
      at::full({static_cast<int64_t>(s.count()), query.size(-2),
                (longest + kAligned - 1) / kAligned * kAligned},
               std::numeric_limits<double>::infinity(), query.options().dtype(at::kFloat));
  const Random random =
      forward(packed(query), packed(key), packed(value), s, {static_cast<Causal>(custom_mask_type)},
              dropout_p, scale, packed(out), efficient_lse(lse, s));
  return {out,
          lse,
          number(random.seed),
          number(random.offset),
          max_seqlen_q.value_or(length_of(query)),
          max_seqlen_k.value_or(length_of(key))};
}

Four TRN_OP_ACROSS(_efficient_attention_backward)(
    const at::Tensor& grad_out_, const at::Tensor& query, const at::Tensor& key,
    const at::Tensor& value, const Optional&, const at::Tensor& out, const Optional& cu_seqlens_q,
    const Optional& cu_seqlens_k, int64_t, int64_t, const at::Tensor& logsumexp, double dropout_p,
    const at::Tensor& philox_seed, const at::Tensor& philox_offset, int64_t custom_mask_type, bool,
    std::optional<double> scale, std::optional<int64_t>, std::optional<int64_t>, bool) {
  const Sequences s = sequences(cu_seqlens_q, cu_seqlens_k, std::nullopt, batch_of(query),
                                length_of(query), length_of(key));
  const Random random =
      dropout_p > 0 ? Random{philox_seed.item<int64_t>(), philox_offset.item<int64_t>()} : Random{};
  const Gradients g = backward(packed(grad_out_), packed(query), packed(key), packed(value),
                               packed(out), s, {static_cast<Causal>(custom_mask_type)}, dropout_p,
                               scale, efficient_lse(logsumexp, s), random);
  return {g.q.view_as(query), g.k.view_as(key), g.v.view_as(value), at::Tensor()};
}

}  // namespace trn::ops
