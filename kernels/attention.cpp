// Scaled dot product attention, forward: softmax(scale Q K' + mask) V without the matrix of scores.
//
// One item is a block of queries: it walks over the keys block by block with a running maximum
// and sum of each query (Milakov and Gimelshein, "Online normalizer calculation for softmax",
// 2018; Dao et al., "FlashAttention", 2022). Items share nothing, so their results do not depend
// on who computes them.
//
// operands: out [batch, heads, queries, value head], logsumexp [batch, heads, queries] of floats;
// q, k, v of the kernel's type, mask. ints and reals: see problem_of.
#include "attention_masks.h"
#include "processor.h"

namespace trn {
namespace {

// Each query's maximum (exponent of two) and sum so far, and the factor of what came before.
struct Running {
  alignas(64) float maximum[kQueryBlock], sum[kQueryBlock], before[kQueryBlock];
};

// Turns a tile of scores into their exponentials relative to the running maxima.
void exponentiate(Word* tile, const Queries& b, int64_t key, int64_t n, float factor, int64_t rows,
                  Running& r) {
  for (int64_t j = 0; j < b.columns; j += kLanes) {
    const int64_t end = seen(b, j, kLanes, key, n);
    const Floats old = load(r.maximum + j), lowest = broadcast(-infinity<float>());
    Floats top[2] = {lowest, lowest};
    for (int64_t k = 0; k < end; ++k)
      top[k & 1] = larger(top[k & 1], load(tile + k * kTileStride + j));
    const Floats maximum = larger(old, larger(top[0], top[1]) * factor);
    // A query that has seen nothing but masked keys stays at -inf; its exponentials are 0.
    const Floats base = maximum == lowest ? broadcast(0.f) : maximum;
    const Floats before = exp2_of_negative(old - base);
    Floats sum[2] = {};
    for (int64_t k = 0; k < end; ++k) {
      Word* x = tile + k * kTileStride + j;
      const Floats e = exp2_of_negative(load(x) * factor - base);
      sum[k & 1] += e;
      store(x, e);
    }
    for (int64_t k = end; k < rows; ++k) store(tile + k * kTileStride + j, Floats{});
    store(r.maximum + j, maximum);
    store(r.sum + j, load(r.sum + j) * before + (sum[0] + sum[1]));
    store(r.before + j, before);
  }
}

TRN_INLINE void rescale(Word* out, int64_t ld, const Queries& b, const Running& r) {
  for (int64_t i = 0; i < b.n; ++i) {
    if (r.before[i] == 1) continue;
    for (int64_t d = 0; d < ld; d += kLanes)
      store(out + i * ld + d, load(out + i * ld + d) * r.before[i]);
  }
}

template <class S>
void write_out(const Call& call, const Queries& b, const Word* out, int64_t ld, const Running& r,
               int64_t head) {
  const Operand &o = call.operand[0], &logsumexp = call.operand[1];
  for (int64_t i = 0; i < b.n; ++i) {
    const float inverse = r.sum[i] == 0 ? 0.f : 1 / r.sum[i];
    S* to = row_of<S>(o, b, i);
    const int64_t stride = o.strides[3];
    const Word* from = out + i * ld;
    if (stride == 1)
      for (int64_t d = 0; d < head; ++d) to[d] = static_cast<S>(from[d] * inverse);
    else
      for (int64_t d = 0; d < head; ++d) to[d * stride] = static_cast<S>(from[d] * inverse);
    *row_of<float>(logsumexp, b, i) =
        r.sum[i] == 0 ? -infinity<float>() : r.maximum[i] / kLog2e + fast_log(r.sum[i]);
  }
}

template <class Words, class S>
void attend(const Call& call, const Problem& p, const Queries& b, char* memory) {
  const int64_t block = call.ints[1];
  const int64_t ldk = attention_stride(words<Words>(p.head));
  const int64_t ldv = attention_stride(p.value_head);
  const int64_t depth = round_up(words<Words>(p.head), kLanes);
  Scratch scratch{memory};
  Word* across = scratch.take(depth * kTileStride);
  Word* out = scratch.take(kQueryBlock * ldv);
  Word* keys = scratch.take(round_up(block, kTileRows) * ldk);
  Word* values = scratch.take(round_up(block, kTileRows) * ldv);
  Word* tile = scratch.take(round_up(block, kTileRows) * kTileStride);
  Word* buffer = scratch.take(2 * kLanes * (kMaxKeys + kLanes));
  // Floats take the scale along; bfloat16 would lose by it.
  constexpr bool kFolded = Words::kNumbers == 1;
  load_queries<Words, S>(keys, ldk, p.q, b, p.head);
  transpose<kFolded>(keys, ldk, across, kTileStride, b.columns, depth, p.scale);

  Running r;
  __builtin_memset(out, 0, kQueryBlock * ldv * sizeof(Word));
  for (int64_t i = 0; i < kQueryBlock; ++i) r.maximum[i] = -infinity<float>(), r.sum[i] = 0;
  for (int64_t key = 0; key < b.most; key += block) {
    const int64_t n = b.most - key < block ? b.most - key : block;
    load_keys<Words, S>(keys, ldk, p.k, b, key, n, p.head);
    key_products<Words>(tile, keys, ldk, across, b, key, n, p.head);
    const float factor = finish_scores<Words>(tile, p, b, key, n, kFolded ? 1.f : p.scale, buffer);
    exponentiate(tile, b, key, n, factor, round_up(n, Words::kNumbers), r);
    if (p.keep < 1)
      each_dropped(p, b, key, n, [&](int64_t k, int64_t j, Floats keep) {
        Word* x = tile + k * kTileStride + j;
        store(x, load(x) * keep);
      });
    rescale(out, ldv, b, r);
    load_keys_down<Words, S>(values, ldv, p.v, b, key, n, p.value_head);
    words_down<Words>(tile, tile, n, b.columns);
    multiply<Words, true>(
        tile, kTileStride, values, ldv, out, ldv, b.n, p.value_head, true,
        [&](int64_t i, int64_t) { return Extent{0, words<Words>(seen(b, i, kTileRows, key, n))}; });
  }
  write_out<S>(call, b, out, ldv, r, p.value_head);
}

template <class Words, class S>
void attention(const Call& call, const Range& range) {
  const Problem p = problem_of(call, 2);
  const int64_t blocks = (p.rows() + kQueryBlock - 1) / kQueryBlock, heads = p.k.sizes[1];
  for (int64_t item = range.begin; item < range.end; ++item) {
    Queries b;
    // The last queries see the most keys under a causal mask: they go first, so that threads end
    // together.
    const int64_t block = blocks - 1 - item / (heads * p.q.sizes[0]);
    const int64_t head = item % (heads * p.q.sizes[0]);
    place(b, p, head / heads, head % heads, block * kQueryBlock);
    attend<Words, S>(call, p, b, range.scratch);
  }
}

#if defined(__AVX512BF16__)
TRN_REGISTER_IF(has_dot_products(), "attention", DType::bf16, attention<PairWords, bf16_t>);
#else
TRN_REGISTER("attention", DType::f32, attention<FloatWords, float>);
TRN_REGISTER_IF(TRN_NO_DOT, "attention", DType::bf16, attention<FloatWords, bf16_t>);
TRN_REGISTER("attention", DType::f16, attention<FloatWords, f16_t>);
#endif

}  // namespace
}  // namespace trn
