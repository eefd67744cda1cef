// Gradients of scaled dot product attention, with the scores computed once more from the saved
// logsumexp instead of kept.
//
// With P the probabilities: dV = P' dO, dS = P (dO V' - sum(dO O)), dQ = scale dS K, dK = scale
// dS' Q. One item is a chunk of the keys of one key head: it owns their dK and dV, and adds its
// share of dQ to a copy of its own. A second kernel sums the copies in their order, which is of the
// shapes' making, so results do not depend on who computes what.
#include "attention_masks.h"
#include "processor.h"

namespace trn {
namespace {

// Scratch of an item: one block of keys, one of queries, and two tiles.
struct Room {
  int64_t ldk, ldv;                             // strides of rows of keys and values
  Word *keys, *values, *keys_down, *dk, *dv;    // block of keys
  Word *rows, *grads, *rows_down, *grads_down;  // queries and output gradients
  Word *across, *grads_across, *dq;
  Word *scores, *grad_scores, *scores_down, *buffer;
  alignas(64) float logsumexp[kQueryBlock], delta[kQueryBlock];
};

template <class Words>
TRN_INLINE void lay_out(Room& r, const Problem& p, int64_t block, char* memory) {
  Scratch s{memory};
  r.ldk = attention_stride(p.head);
  r.ldv = attention_stride(p.value_head);
  const int64_t most = round_up(block, kTileRows);
  const bool pairs = Words::kNumbers == 2;
  r.keys = s.take(most * r.ldk);
  r.values = s.take(most * r.ldv);
  r.keys_down = pairs ? s.take(most / 2 * r.ldk) : r.keys;
  r.dk = s.take(most * r.ldk);
  r.dv = s.take(most * r.ldv);
  r.rows = s.take(kQueryBlock * r.ldk);
  r.grads = s.take(kQueryBlock * r.ldv);
  r.rows_down = pairs ? s.take(kQueryBlock / 2 * r.ldk) : r.rows;
  r.grads_down = pairs ? s.take(kQueryBlock / 2 * r.ldv) : r.grads;
  r.across = s.take(round_up(p.head, kLanes) * kTileStride);
  r.grads_across = s.take(round_up(p.value_head, kLanes) * kTileStride);
  r.dq = s.take(kQueryBlock * r.ldk);
  r.scores = s.take(most * kTileStride);
  r.grad_scores = s.take(most * kTileStride);
  r.scores_down = pairs ? s.take(most / 2 * kTileStride) : r.grad_scores;
  r.buffer = s.take(2 * kLanes * (kMaxKeys + kLanes));
}

constexpr bool folded(int numbers) { return numbers == 1; }  // see attention.cpp

template <class Words, class S>
void load_block(Room& r, const Call& call, const Problem& p, const Queries& b) {
  const Operand &dout = call.operand[8], &stats = call.operand[9];
  load_queries<Words, S>(r.rows, r.ldk, p.q, b, p.head);
  load_queries<Words, S>(r.grads, r.ldv, dout, b, p.value_head);
  transpose<folded(Words::kNumbers)>(r.rows, r.ldk, r.across, kTileStride, b.columns,
                                     round_up(words<Words>(p.head), kLanes), p.scale);
  transpose<false>(r.grads, r.ldv, r.grads_across, kTileStride, b.columns,
                   round_up(words<Words>(p.value_head), kLanes), 1.f);
  if constexpr (Words::kNumbers == 2) {
    queries_down<S>(r.rows_down, r.ldk, p.q, b, p.head);
    queries_down<S>(r.grads_down, r.ldv, dout, b, p.value_head);
  }
  const int64_t half = p.q.sizes[0] * p.q.sizes[1] * p.queries;
  const float* row =
      stats.as<float>() + (b.batch * p.q.sizes[1] + b.key_head * p.group) * p.queries + b.first;
  for (int64_t i = 0; i < kQueryBlock; ++i) {
    r.logsumexp[i] = i < b.n ? row[i] : infinity<float>();
    r.delta[i] = i < b.n ? row[half + i] : 0.f;
  }
}

// Scores become probabilities, gradients of these become gradients of scores; what dropout took
// away is 0 in both. Rows that a query does not see are zeros up to a whole tile.
void differentiate(Room& r, const Problem& p, const Queries& b, int64_t key, int64_t n,
                   float factor) {
  const bool drops = p.keep < 1;
  for (int64_t j = 0; j < b.columns; j += kLanes) {
    const Floats lse = load(r.logsumexp + j), delta = load(r.delta + j);
    const int64_t end = seen(b, j, kLanes, key, n);
    for (int64_t k = 0; k < end; ++k) {
      Word *s = r.scores + k * kTileStride + j, *g = r.grad_scores + k * kTileStride + j;
      const Floats e = exp2_of_negative(load(s) * factor - lse);
      store(s, e);
      if (!drops) store(g, e * (load(g) - delta));
    }
    for (int64_t k = end; k < round_up(n, kTileRows); ++k) {
      store(r.scores + k * kTileStride + j, Floats{});
      store(r.grad_scores + k * kTileStride + j, Floats{});
    }
  }
  if (!drops) return;
  each_dropped(p, b, key, n, [&](int64_t k, int64_t j, Floats keep) {
    Word *s = r.scores + k * kTileStride + j, *g = r.grad_scores + k * kTileStride + j;
    const Floats e = load(s);
    store(g, e * (load(g) * keep - load(r.delta + j)));
    store(s, e * keep);
  });
}

// The gradient of a mask is that of the scores, in rows of queries as masks are.
void write_mask_gradient(const Operand& to, const Queries& b, int64_t key, int64_t n,
                         const Word* gradient, float* buffer) {
  constexpr int64_t ld = kMaxKeys + kLanes;
  for (int64_t j = 0; j < b.columns; j += kLanes) {
    for (int64_t k = 0; k < n; k += kLanes)
      transpose<false>(gradient + k * kTileStride + j, kTileStride, buffer + k, ld, kLanes, kLanes,
                       1.f);
    for (int64_t i = j; i < b.n && i < j + kLanes; ++i)
      TRN_ISA_NAMESPACE::convert_run(element_of(to, b, i, key), to.dtype, to.strides[3],
                                     buffer + (i - j) * ld, DType::f32, 1, n);
  }
}

// One block of queries against one of keys.
template <class Words>
void add_gradients(Room& r, const Call& call, const Problem& p, const Queries& b, int64_t key,
                   int64_t n) {
  key_products<Words>(r.scores, r.keys, r.ldk, r.across, b, key, n, p.head);
  const float factor = finish_scores<Words>(r.scores, p, b, key, n,
                                            folded(Words::kNumbers) ? 1.f : p.scale, r.buffer);
  key_products<Words>(r.grad_scores, r.values, r.ldv, r.grads_across, b, key, n, p.value_head);
  differentiate(r, p, b, key, n, factor);
  if (!call.operand[3].absent())
    write_mask_gradient(call.operand[3], b, key, n, r.grad_scores, r.buffer);

  // Queries that come before a tile's first key have nothing to give to it.
  const auto queries_of = [&](int64_t i, int64_t) {
    const int64_t before = p.causal && b.ordered ? key + i - b.at[0] : 0;
    return Extent{before > 0 ? before / Words::kNumbers : 0, words<Words>(b.n)};
  };
  const auto keys_of = [&](int64_t i, int64_t) {
    return Extent{0, words<Words>(seen(b, i, kTileRows, key, n))};
  };
  words_down<Words>(r.scores_down, r.grad_scores, n, b.columns);
  words_across<Words>(r.scores, round_up(n, kTileRows), b.columns);
  words_across<Words>(r.grad_scores, round_up(n, kTileRows), b.columns);
  multiply<Words, false>(r.scores, kTileStride, r.grads_down, r.ldv, r.dv, r.ldv, n, p.value_head,
                         true, queries_of);
  multiply<Words, false>(r.grad_scores, kTileStride, r.rows_down, r.ldk, r.dk, r.ldk, n, p.head,
                         true, queries_of);
  multiply<Words, true>(r.scores_down, kTileStride, r.keys_down, r.ldk, r.dq, r.ldk, b.n, p.head,
                        false, keys_of);
}

// dQ's rows of this block of queries in the item's copy: set by its first block of keys.
TRN_INLINE void add_queries(float* to, const Room& r, const Queries& b, int64_t head, bool first,
                            bool zero) {
  for (int64_t i = 0; i < b.n; ++i) {
    float* row = to + i * head;
    const Word* from = r.dq + i * r.ldk;
    if (zero) __builtin_memset(row, 0, head * sizeof(float));
    else if (first)
      for (int64_t d = 0; d < head; ++d) row[d] = from[d];
    else
      for (int64_t d = 0; d < head; ++d) row[d] += from[d];
  }
}

template <class S>
void write_keys(const Operand& o, const Queries& b, int64_t key, int64_t n, const Word* from,
                int64_t ld, int64_t head, float factor) {
  for (int64_t i = 0; i < n; ++i) {
    S* row =
        o.as<S>() + b.batch * o.strides[0] + b.key_head * o.strides[1] + (key + i) * o.strides[2];
    for (int64_t d = 0; d < head; ++d)
      row[d * o.strides[3]] = static_cast<S>(from[i * ld + d] * factor);
  }
}

// operands: dq [copies, batch, heads, queries, head] of dense floats; dk, dv; dmask [batch, heads,
// queries, keys] or absent; q, k, v, mask; dout; stats of attention_stats, dropout's state among
// them. ints and reals: see problem_of; ints[4]: keys of a chunk. Items: copies * batch * key
// heads.
template <class Words, class S>
void attention_backward(const Call& call, const Range& range) {
  Problem p = problem_of(call, 4);
  const float* state = call.operand[9].as<float>() + 2 * p.q.sizes[0] * p.q.sizes[1] * p.queries;
  __builtin_memcpy(&p.seed, state, sizeof p.seed);
  __builtin_memcpy(&p.offset, state + kStateFloats / 2, sizeof p.offset);
  const int64_t block = call.ints[1], chunk = call.ints[4], heads = p.k.sizes[1];
  Room r;
  lay_out<Words>(r, p, block, range.scratch);
  for (int64_t item = range.begin; item < range.end; ++item) {
    Queries b;
    const int64_t batch = item / heads % p.q.sizes[0], head = item % heads;
    const int64_t start = item / heads / p.q.sizes[0] * chunk;
    const int64_t end = start + chunk < p.keys ? start + chunk : p.keys;
    float* dq = call.operand[0].as<float>() + item * p.rows() * p.head;
    for (int64_t key = start; key < end; key += block) {
      const int64_t n = end - key < block ? end - key : block;
      place(b, p, batch, head, 0);
      load_keys<Words, S>(r.keys, r.ldk, p.k, b, key, n, p.head);
      load_keys<Words, S>(r.values, r.ldv, p.v, b, key, n, p.value_head);
      if constexpr (Words::kNumbers == 2)
        load_keys_down<Words, S>(r.keys_down, r.ldk, p.k, b, key, n, p.head);
      __builtin_memset(r.dk, 0, round_up(n, kTileRows) * r.ldk * sizeof(Word));
      __builtin_memset(r.dv, 0, round_up(n, kTileRows) * r.ldv * sizeof(Word));
      for (int64_t first = 0; first < p.rows(); first += kQueryBlock) {
        place(b, p, batch, head, first);
        const int64_t visible = b.most - key < n ? b.most - key : n;
        if (visible > 0) {
          load_block<Words, S>(r, call, p, b);
          add_gradients<Words>(r, call, p, b, key, visible);
        }
        if (visible > 0 || key == start)
          add_queries(dq + first * p.head, r, b, p.head, key == start, visible <= 0);
      }
      write_keys<S>(call.operand[1], b, key, n, r.dk, r.ldk, p.head,
                    static_cast<float>(call.reals[0]));
      write_keys<S>(call.operand[2], b, key, n, r.dv, r.ldv, p.value_head, 1.f);
    }
  }
}

#if defined(__AVX512BF16__)
TRN_REGISTER_IF(has_dot_products(), "attention_backward", DType::bf16,
                attention_backward<PairWords, bf16_t>);
#else
TRN_REGISTER("attention_backward", DType::f32, attention_backward<FloatWords, float>);
TRN_REGISTER_IF(TRN_NO_DOT, "attention_backward", DType::bf16,
                attention_backward<FloatWords, bf16_t>);
TRN_REGISTER("attention_backward", DType::f16, attention_backward<FloatWords, f16_t>);
#endif

}  // namespace
}  // namespace trn
