// Stable sorting of lines that fit in a thread's scratch: short ones by merging, others by radix.
//
// Both sort unsigned keys beside positions, so they do not know types, NaN or directions.
#include "order.h"

namespace trn {
namespace {

constexpr int kDigits = 256;      // values of one pass: 256 counters stay in the first-level cache
constexpr int64_t kMerged = 192;  // lines up to this length are merged; radix wins above

template <class T>
TRN_INLINE void sort_by_merging(Line<T> in, Line<T> values, Line<int64_t> indices, int64_t n,
                                key_t<T> flip, char* scratch) {
  using P = packed_t<T>;
  P* a = reinterpret_cast<P*>(scratch);
  for (int64_t k = 0; k < n; ++k) a[k] = pack<T>(key_of<T>(in[k]) ^ flip, k);
  const P* sorted = merge_sort(a, a + n, n);
  for (int64_t k = 0; k < n; ++k) {
    const uint32_t from = position_of(sorted[k]);
    values[k] = in[from];
    indices[k] = from;
  }
}

template <class T>
TRN_INLINE void sort_by_radix(Line<T> in, Line<T> values, Line<int64_t> indices, int64_t n,
                              key_t<T> flip, char* scratch) {
  using K = key_t<T>;
  K *key = reinterpret_cast<K*>(scratch), *key2 = key + n;
  auto* order = reinterpret_cast<uint32_t*>(key2 + n + n % 2);
  uint32_t* order2 = order + n;
  uint32_t counts[sizeof(K)][kDigits] = {};
  for (int64_t k = 0; k < n; ++k) {
    key[k] = static_cast<K>(key_of<T>(in[k]) ^ flip);
    order[k] = static_cast<uint32_t>(k);
    for (size_t d = 0; d < sizeof(K); ++d) ++counts[d][key[k] >> (8 * d) & 255];
  }
  for (size_t d = 0; d < sizeof(K); ++d) {
    uint32_t* count = counts[d];
    if (count[key[0] >> (8 * d) & 255] == n) continue;  // all alike in this digit
    uint32_t sum = 0;
    for (int v = 0; v < kDigits; ++v) {
      const uint32_t c = count[v];
      count[v] = sum;
      sum += c;
    }
    for (int64_t k = 0; k < n; ++k) {
      const uint32_t to = count[key[k] >> (8 * d) & 255]++;
      key2[to] = key[k];
      order2[to] = order[k];
    }
    K* tk = key;
    key = key2;
    key2 = tk;
    uint32_t* to = order;
    order = order2;
    order2 = to;
  }
  for (int64_t k = 0; k < n; ++k) {
    const K plain = static_cast<K>(key[k] ^ flip);
    values[k] = has_one_value<T>(plain) ? value_of<T>(plain) : in[order[k]];
    indices[k] = order[k];
  }
}

// operands: values, indices (i64), in, of one shape and not overlapping; sorts along the last
// dimension, whose length is at most kScratchBytes / (2 * (key bytes + 4)) - 1. ints[0]:
// descending. Items are lines.
template <class T>
void sort(const Call& call, const Range& range) {
  const int64_t n = line_length(call.operand[0]);
  const key_t<T> flip = call.ints[0] ? kNanKey<T> : key_t<T>{0};
  for (int64_t l = range.begin; l < range.end; ++l) {
    const Line<T> values = line_of<T>(call.operand[0], l), in = line_of<T>(call.operand[2], l);
    const Line<int64_t> indices = line_of<int64_t>(call.operand[1], l);
    if (n <= kMerged) sort_by_merging<T>(in, values, indices, n, flip, range.scratch);
    else sort_by_radix<T>(in, values, indices, n, flip, range.scratch);
  }
}

TRN_REGISTER_ORDERED(sort);

}  // namespace
}  // namespace trn
