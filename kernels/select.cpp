// Choosing from lines without sorting them: the k first, the element of a rank, the commonest.
#include "order.h"

namespace trn {
namespace {

// Lets the root, the largest of a heap of n, sink to its place.
template <class P>
TRN_INLINE void sink(P* heap, int64_t at, int64_t n) {
  const P x = heap[at];
  for (;;) {
    int64_t child = 2 * at + 1;
    if (child >= n) break;
    if (child + 1 < n && heap[child] < heap[child + 1]) ++child;
    if (!(x < heap[child])) break;
    heap[at] = heap[child];
    at = child;
  }
  heap[at] = x;
}

// The k first in order, by a heap of k. Most elements of a long line do not get into it: they are
// passed over many at once. operands: values [.., k], indices [.., k], in [.., n] of
// any strides, k <= n, 2 * k * sizeof(packed) <= kScratchBytes. ints[0]: largest first. Equal
// elements keep their order. Items are lines.
constexpr int64_t kLook = 32;
template <class T>
void topk(const Call& call, const Range& range) {
  using P = packed_t<T>;
  const int64_t k = line_length(call.operand[0]), n = line_length(call.operand[2]);
  const key_t<T> flip = call.ints[0] ? kNanKey<T> : key_t<T>{0};
  P* heap = reinterpret_cast<P*>(range.scratch);
  for (int64_t l = range.begin; l < range.end; ++l) {
    const Line<T> values = line_of<T>(call.operand[0], l), in = line_of<T>(call.operand[2], l);
    const Line<int64_t> indices = line_of<int64_t>(call.operand[1], l);
    for (int64_t i = 0; i < k; ++i) heap[i] = pack<T>(key_of<T>(in[i]) ^ flip, i);
    for (int64_t i = k / 2 - 1; i >= 0; --i) sink(heap, i, k);
    auto last = static_cast<key_t<T>>(heap[0] >> 32);
    const auto look = [&](int64_t from, int64_t count) {
      key_t<T> keys[kLook], found = 0;
      for (int64_t j = 0; j < count; ++j) {
        const T x = count == kLook ? in.data[from + j] : in[from + j];
        keys[j] = static_cast<key_t<T>>(key_of<T>(x) ^ flip);
        found |= keys[j] < last;
      }
      for (int64_t j = 0; found && j < count; ++j)
        if (keys[j] < last) {
          heap[0] = pack<T>(keys[j], from + j);
          sink(heap, 0, k);
          last = static_cast<key_t<T>>(heap[0] >> 32);
        }
    };
    int64_t i = k;
    if (in.step == 1)
      for (; i + kLook <= n; i += kLook) look(i, kLook);
    for (; i < n; ++i) look(i, 1);
    const P* sorted = merge_sort(heap, heap + k, k);
    for (int64_t i = 0; i < k; ++i) {
      const uint32_t from = position_of(sorted[i]);
      values[i] = in[from];
      indices[i] = from;
    }
  }
}

// Position of the element that a stable ascending sort would put at `rank`: finds its key a digit
// at a time from the highest, counting only what agrees with the digits found.
template <class T>
TRN_INLINE int64_t position_of_rank(Line<T> in, int64_t n, int64_t rank) {
  using K = key_t<T>;
  K found = 0, mask = 0;
  for (int shift = 8 * (sizeof(K) - 1); shift >= 0; shift -= 8) {
    uint32_t counts[256] = {};
    for (int64_t k = 0; k < n; ++k) {
      const K key = key_of<T>(in[k]);
      counts[key >> shift & 255] += (key & mask) == found;
    }
    int digit = 0;
    for (; rank >= counts[digit]; ++digit) rank -= counts[digit];
    found = static_cast<K>(found | static_cast<K>(digit) << shift);
    mask = static_cast<K>(mask | static_cast<K>(255) << shift);
  }
  for (int64_t k = 0; k < n; ++k)
    if (key_of<T>(in[k]) == found && rank-- == 0) return k;
  return n - 1;
}

enum Rank : int64_t { kGiven, kMedian, kNanMedian };

// operands: value [.., 1], index [.., 1], in [.., n] of any strides, 0 < n < 2^32. ints[0]: whether
// the rank is given in ints[1], the lower median's (a NaN wins), or the lower median's of what is
// not NaN. Items are lines.
template <class T>
void select(const Call& call, const Range& range) {
  constexpr int64_t kShort = 64;  // up to this length sorting is faster than counting
  using P = packed_t<T>;
  const int64_t n = line_length(call.operand[2]), how = call.ints[0];
  for (int64_t l = range.begin; l < range.end; ++l) {
    const Line<T> in = line_of<T>(call.operand[2], l);
    int64_t nans = 0, at = -1;
    if (how != kGiven)
      for (int64_t k = n - 1; k >= 0; --k)
        if (key_of<T>(in[k]) == kNanKey<T> && is_floating<T>) {
          ++nans;
          at = k;
        }
    const int64_t numbers = how == kNanMedian && nans < n ? n - nans : n;
    const int64_t rank = how == kGiven ? call.ints[1] : (numbers - 1) / 2;
    if (how != kMedian || nans == 0) {
      if (n <= kShort) {
        P packed[2 * kShort];
        for (int64_t k = 0; k < n; ++k) packed[k] = pack<T>(key_of<T>(in[k]), k);
        at = position_of(merge_sort(packed, packed + kShort, n)[rank]);
      } else {
        at = position_of_rank<T>(in, n, rank);
      }
    }
    line_of<T>(call.operand[0], l)[0] = in[at];
    line_of<int64_t>(call.operand[1], l)[0] = at;
  }
}

// The commonest value of a sorted line, the smallest of several, and where it stands last.
// operands: value [.., 1], index [.., 1], sorted values [.., n], their positions [.., n].
template <class T>
void mode(const Call& call, const Range& range) {
  const int64_t n = line_length(call.operand[2]);
  for (int64_t l = range.begin; l < range.end; ++l) {
    const Line<T> in = line_of<T>(call.operand[2], l);
    int64_t best = 0, longest = 0, begin = 0;
    for (int64_t k = 0; k < n; ++k)
      if (k + 1 == n || !(in[k] == in[k + 1])) {
        if (k + 1 - begin > longest) {
          longest = k + 1 - begin;
          best = k;
        }
        begin = k + 1;
      }
    line_of<T>(call.operand[0], l)[0] = in[best];
    line_of<int64_t>(call.operand[1], l)[0] = line_of<int64_t>(call.operand[3], l)[best];
  }
}

TRN_REGISTER_ORDERED(topk);
TRN_REGISTER_ORDERED(select);
TRN_REGISTER_ORDERED(mode);

}  // namespace
}  // namespace trn
