// What attention's forward and backward share: blocks of queries and keys in scratch and their
// scores.
//
// Scores are kept transposed, keys down and queries across: each lane of a vector is a query, so
// maxima and sums over keys need no step across lanes, and the tile is in the order in which the
// next products read it. Exponents are of two.
#pragma once

#include "attention.h"
#include "tile.h"

namespace trn {
namespace {

constexpr int kQueryVectors = kQueryBlock / kLanes;
constexpr float kLog2e = 1.44269504088896341f;

// One launch. Tensors are [batch, heads, length, head]; mask is broadcast by strides of 0.
struct Problem {
  Operand q, k, v, mask;
  int64_t group;  // query heads that share a key head
  int64_t queries, keys, head, value_head;
  bool causal;
  float scale;  // of scores, times log2(e)
  float keep;   // probability that dropout keeps an element; 1 for none
  uint64_t seed, offset;

  TRN_INLINE int64_t rows() const { return group * queries; }
};

// Of a call whose operands from `first` on are q, k, v, mask (any float or bool, broadcast, or
// absent), with ints: causal, keys of a block, seed, offset; reals: scale, probability of dropout.
TRN_INLINE Problem problem_of(const Call& call, int first) {
  Problem p;
  p.q = call.operand[first];
  p.k = call.operand[first + 1];
  p.v = call.operand[first + 2];
  p.mask = call.operand[first + 3];
  p.group = p.q.sizes[1] / p.k.sizes[1];
  p.queries = p.q.sizes[2];
  p.keys = p.k.sizes[2];
  p.head = p.q.sizes[3];
  p.value_head = p.v.sizes[3];
  p.causal = call.ints[0];
  p.seed = static_cast<uint64_t>(call.ints[2]);
  p.offset = static_cast<uint64_t>(call.ints[3]);
  p.scale = static_cast<float>(call.reals[0]) * kLog2e;
  p.keep = 1 - static_cast<float>(call.reals[1]);
  return p;
}

typedef uint16_t Half __attribute__((may_alias));
typedef uint32_t Bits __attribute__((may_alias));

// Scratch of a thread, handed out piece by piece, each on a cache line.
struct Scratch {
  char* next;
  TRN_INLINE Word* take(int64_t words) {
    Word* p = reinterpret_cast<Word*>(next);
    next += round_up(words * sizeof(Word), 64);
    return p;
  }
};

// Rows [first, first + n) of the queries of one key head, and which keys they see.
struct Queries {
  int64_t batch, key_head, first, n;
  int64_t columns;                      // n in whole vectors
  int64_t any[kQueryVectors];           // keys that some row of a vector sees: [0, any)
  int64_t all[kQueryVectors];           // keys that every row of it sees: [0, all)
  int64_t most;                         // keys that some row sees
  bool ordered;                         // row i + 1 sees no fewer keys than row i
  alignas(64) int32_t at[kQueryBlock];  // position of a row in its sequence
  int32_t head[kQueryBlock];            // and its head
};

TRN_INLINE void place(Queries& b, const Problem& p, int64_t batch, int64_t key_head,
                      int64_t first) {
  b.batch = batch;
  b.key_head = key_head;
  b.first = first;
  b.n = p.rows() - first < kQueryBlock ? p.rows() - first : kQueryBlock;
  b.columns = round_up(b.n, kLanes);
  int64_t head = key_head * p.group + first / p.queries, at = first % p.queries;
  b.ordered = at + b.n <= p.queries;
  for (int64_t i = 0; i < b.columns; ++i) {
    b.at[i] = static_cast<int32_t>(at);
    b.head[i] = static_cast<int32_t>(head);
    if (i + 1 < b.n && ++at == p.queries) at = 0, ++head;
  }
  b.most = 0;
  for (int64_t v = 0; v < b.columns / kLanes; ++v) {
    b.any[v] = 0;
    b.all[v] = p.keys;
    for (int l = 0; l < kLanes; ++l) {
      const int64_t end = b.at[v * kLanes + l] + 1;
      const int64_t seen = p.causal && end < p.keys ? end : p.keys;
      if (b.any[v] < seen) b.any[v] = seen;
      if (b.all[v] > seen) b.all[v] = seen;
    }
    if (b.most < b.any[v]) b.most = b.any[v];
  }
}

// Keys of [key, key + n) that some of the rows [i, i + rows) see.
TRN_INLINE int64_t seen(const Queries& b, int64_t i, int64_t rows, int64_t key, int64_t n) {
  int64_t most = 0;
  for (int64_t v = i / kLanes; v < kQueryVectors && v * kLanes < i + rows && v * kLanes < b.n; ++v)
    if (most < b.any[v]) most = b.any[v];
  most -= key;
  return most < 0 ? 0 : most > n ? n : most;
}

template <class S>
TRN_INLINE S* row_of(const Operand& o, const Queries& b, int64_t i) {
  return o.as<S>() + b.batch * o.strides[0] + b.head[i] * o.strides[1] + b.at[i] * o.strides[2];
}

// Element [batch, head, position, key] of what is of a mask's shape.
TRN_INLINE char* element_of(const Operand& o, const Queries& b, int64_t i, int64_t key) {
  return o.as<char>() + (b.batch * o.strides[0] + b.head[i] * o.strides[1] +
                         b.at[i] * o.strides[2] + key * o.strides[3]) *
                            dtype_size(o.dtype);
}

// Words of `n` numbers.
template <class Words>
TRN_INLINE int64_t words(int64_t n) {
  return (n + Words::kNumbers - 1) / Words::kNumbers;
}

// `n` numbers as words, zeros up to a whole vector.
template <class Words, class S>
TRN_INLINE void load_row(Word* to, const S* from, int64_t stride, int64_t n) {
  const int64_t end = round_up(words<Words>(n), kLanes);
  if constexpr (Words::kNumbers == 1) {
    if (stride == 1)
      for (int64_t i = 0; i < n; ++i) to[i] = static_cast<float>(from[i]);
    else
      for (int64_t i = 0; i < n; ++i) to[i] = static_cast<float>(from[i * stride]);
    for (int64_t i = n; i < end; ++i) to[i] = 0;
  } else {
    Half* half = reinterpret_cast<Half*>(to);
    const Half* bits = reinterpret_cast<const Half*>(from);
    if (stride == 1) __builtin_memcpy(to, from, n * sizeof(Half));
    else
      for (int64_t i = 0; i < n; ++i) half[i] = bits[i * stride];
    for (int64_t i = n; i < end * Words::kNumbers; ++i) half[i] = 0;
  }
}

// Rows of queries (or of what has their shape); zeros up to a whole vector of rows.
template <class Words, class S>
void load_queries(Word* to, int64_t ld, const Operand& o, const Queries& b, int64_t head) {
  for (int64_t i = 0; i < b.n; ++i)
    load_row<Words>(to + i * ld, row_of<S>(o, b, i), o.strides[3], head);
  for (int64_t i = b.n; i < b.columns; ++i) __builtin_memset(to + i * ld, 0, ld * sizeof(Word));
}

// Rows [key, key + n) of keys or values; zeros up to a whole tile of rows.
template <class Words, class S>
void load_keys(Word* to, int64_t ld, const Operand& o, const Queries& b, int64_t key, int64_t n,
               int64_t head) {
  const S* from = o.as<S>() + b.batch * o.strides[0] + b.key_head * o.strides[1];
  for (int64_t i = 0; i < n; ++i)
    load_row<Words>(to + i * ld, from + (key + i) * o.strides[2], o.strides[3], head);
  for (int64_t i = n; i < round_up(n, kTileRows); ++i)
    __builtin_memset(to + i * ld, 0, ld * sizeof(Word));
}

// Two rows of halves as one row of words, each a pair; an absent second row is zeros.
TRN_INLINE void zip_rows(Word* to, const void* first, const void* second, int64_t stride,
                         int64_t n) {
  const Half *a = static_cast<const Half*>(first), *b = static_cast<const Half*>(second);
  Bits* word = reinterpret_cast<Bits*>(to);
  if (b && stride == 1)
    for (int64_t i = 0; i < n; ++i) word[i] = a[i] | static_cast<uint32_t>(b[i]) << 16;
  else
    for (int64_t i = 0; i < n; ++i)
      word[i] = a[i * stride] | (b ? static_cast<uint32_t>(b[i * stride]) << 16 : 0u);
  for (int64_t i = n; i < round_up(n, kLanes); ++i) word[i] = 0;
}

// Rows of keys or values as the depth of a product: words run down the rows.
template <class Words, class S>
void load_keys_down(Word* to, int64_t ld, const Operand& o, const Queries& b, int64_t key,
                    int64_t n, int64_t head) {
  if constexpr (Words::kNumbers == 1) {
    load_keys<Words, S>(to, ld, o, b, key, n, head);
  } else {
    const S* from = o.as<S>() + b.batch * o.strides[0] + b.key_head * o.strides[1];
    for (int64_t i = 0; i < n; i += 2) {
      const S* row = from + (key + i) * o.strides[2];
      zip_rows(to + i / 2 * ld, row, i + 1 < n ? row + o.strides[2] : nullptr, o.strides[3], head);
    }
  }
}

// A tile of floats as the left factor of a product along its `n` keys; in place if `to` is it.
template <class Words>
TRN_INLINE void words_down(Word* to, const Word* tile, int64_t n, int64_t columns) {
  if constexpr (Words::kNumbers == 2)
    for (int64_t j = 0; j < columns; j += kLanes)
      for (int64_t k = 0; k < n; k += 2) {
        const Word* x = tile + k * kTileStride + j;
        store(to + k / 2 * kTileStride + j,
              Words::pairs(load(x), k + 1 < n ? load(x + kTileStride) : Floats{}));
      }
}

// Rows of queries (or of what has their shape) as the depth of a product, in pairs.
template <class S>
void queries_down(Word* to, int64_t ld, const Operand& o, const Queries& b, int64_t head) {
  for (int64_t i = 0; i < b.n; i += 2)
    zip_rows(to + i / 2 * ld, row_of<S>(o, b, i), i + 1 < b.n ? row_of<S>(o, b, i + 1) : nullptr,
             o.strides[3], head);
}

// The same along its queries, in place.
template <class Words>
TRN_INLINE void words_across(Word* tile, int64_t n, int64_t columns) {
  if constexpr (Words::kNumbers == 2)
    for (int64_t k = 0; k < n; ++k)
      for (int64_t j = 0; j < columns; j += 2 * kLanes) {
        const Word* x = tile + k * kTileStride + j;
        store(tile + k * kTileStride + j / 2,
              Words::row(load(x), j + kLanes < columns ? load(x + kLanes) : Floats{}));
      }
}

// tile[key][query] = the product of rows of keys (or values) with transposed rows of queries (or
// output gradients), where some query sees the key.
template <class Words>
TRN_INLINE void key_products(Word* tile, const Word* keys, int64_t ld, const Word* across,
                             const Queries& b, int64_t key, int64_t n, int64_t head) {
  multiply<Words, false>(keys, ld, across, kTileStride, tile, kTileStride, n, b.columns, false,
                         [&](int64_t i, int64_t j) {
                           const int64_t end = seen(b, j, kTileVectors * kLanes, key, n);
                           return Extent{0, i < end ? words<Words>(head) : 0};
                         });
}

}  // namespace
}  // namespace trn
