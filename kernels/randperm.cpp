// A random permutation in two steps (Rao and Sandelius, 1961): every element draws one of a number
// of buckets, and the buckets, small enough for a cache, are shuffled.
#include "philox.h"

namespace trn {
namespace {

// A word times n, over 2^32: one of n numbers from 0.
TRN_INLINE int64_t below(int64_t n, uint32_t word) {
  return static_cast<int64_t>(static_cast<uint64_t>(word) * static_cast<uint64_t>(n) >> 32);
}

template <class F>
TRN_INLINE void for_words(const Call& call, int64_t begin, int64_t end, F f) {
  Draws draws(static_cast<uint64_t>(call.ints[0]), static_cast<uint64_t>(call.ints[1]), 1);
  for (int64_t i = begin, n; i < end; i += n) {
    n = draws.cover(i, end - i);
    const uint32_t* word = draws.word[0] + draws.at(i);
    for (int64_t k = 0; k < n; ++k) f(i + k, word[k]);
  }
}

// operands: order [n] gets 0 .. n - 1 by bucket; starts [buckets + 1] gets where each begins.
// ints: seed, offset. One item.
void scatter(const Call& call, const Range&) {
  int64_t *order = call.operand[0].as<int64_t>(), *starts = call.operand[1].as<int64_t>();
  const int64_t n = call.operand[0].sizes[0], buckets = call.operand[1].sizes[0] - 1;
  for (int64_t b = 0; b <= buckets; ++b) starts[b] = 0;
  for_words(call, 0, n, [&](int64_t, uint32_t word) { ++starts[below(buckets, word) + 1]; });
  for (int64_t b = 0; b < buckets; ++b) starts[b + 1] += starts[b];
  // Filling a bucket moves its start to its end, which is the next one's start.
  for_words(call, 0, n,
            [&](int64_t i, uint32_t word) { order[starts[below(buckets, word)]++] = i; });
  for (int64_t b = buckets; b > 0; --b) starts[b] = starts[b - 1];
  starts[0] = 0;
}

// operands: order, starts, as scatter left them. ints: seed, offset. Items are buckets; Fisher and
// Yates' shuffle, from the end.
void shuffle(const Call& call, const Range& range) {
  int64_t* order = call.operand[0].as<int64_t>();
  const int64_t* starts = call.operand[1].as<int64_t>();
  for (int64_t b = range.begin; b < range.end; ++b) {
    const int64_t begin = starts[b], end = starts[b + 1];
    for_words(call, begin, end, [&](int64_t i, uint32_t word) {
      const int64_t last = end - 1 - (i - begin), other = begin + below(last - begin + 1, word);
      const int64_t x = order[last];
      order[last] = order[other];
      order[other] = x;
    });
  }
}

TRN_REGISTER("randperm_scatter", DType::i64, scatter);
TRN_REGISTER("randperm_shuffle", DType::i64, shuffle);

}  // namespace
}  // namespace trn
