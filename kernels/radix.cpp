// Stable sorting of long lines by all threads: a pass over the digits of unsigned keys at a time.
//
// A line is cut into blocks. Every pass counts each block's digits, sums the counts so that every
// block knows where its elements of each digit go, and moves. Blocks are the same for any number
// of threads, and so is the result. A digit in which all keys of a line agree is skipped: `differ`
// tells, and the buffers change places only in passes that are not skipped.
#include "order.h"

namespace trn {
namespace {

constexpr int kDigits = 256;

// The buffers of one sort. operands 0-3: keys [2, lines, n] of unsigned type, order [2, lines, n]
// i32, counts [lines, blocks, 256] i32, differ [lines, blocks] i64; then as kernels say. ints:
// elements of a block, blocks of a line, lines, the key's flip for descending order (all ones or
// 0), the pass.
template <class K>
struct Buffers {
  int64_t n, block, blocks, lines;
  K* keys;
  uint32_t* order;
  uint32_t* counts;
  uint64_t* differ;

  TRN_INLINE explicit Buffers(const Call& call)
      : n(call.operand[0].sizes[2]),
        block(call.ints[0]),
        blocks(call.ints[1]),
        lines(call.ints[2]),
        keys(call.operand[0].as<K>()),
        order(call.operand[1].as<uint32_t>()),
        counts(call.operand[2].as<uint32_t>()),
        differ(call.operand[3].as<uint64_t>()) {}

  TRN_INLINE uint64_t differing(int64_t line) const {
    uint64_t bits = 0;
    for (int64_t b = 0; b < blocks; ++b) bits |= differ[line * blocks + b];
    return bits;
  }
  TRN_INLINE static bool active(uint64_t bits, int64_t pass) { return bits >> (8 * pass) & 255; }
  // Which half of the buffers the keys are in before a pass.
  TRN_INLINE static int64_t half(uint64_t bits, int64_t pass) {
    int64_t h = 0;
    for (int64_t p = 0; p < pass; ++p) h ^= active(bits, p);
    return h;
  }
  TRN_INLINE int64_t at(int64_t half, int64_t line) const { return (half * lines + line) * n; }
  TRN_INLINE int64_t end_of(int64_t b) const { return (b + 1) * block < n ? (b + 1) * block : n; }
};

// Makes the keys and the positions 0, 1, ... operand 4: in [.., n]. Items are blocks of all lines,
// here and below.
template <class T>
void radix_keys(const Call& call, const Range& range) {
  using K = key_t<T>;
  const Buffers<K> s(call);
  const K flip = static_cast<K>(call.ints[3]);
  for (int64_t item = range.begin; item < range.end; ++item) {
    const int64_t line = item / s.blocks, b = item % s.blocks;
    const Line<T> in = line_of<T>(call.operand[4], line);
    const K first = key_of<T>(in[0]);
    K bits = 0;
    K* keys = s.keys + s.at(0, line);
    uint32_t* order = s.order + s.at(0, line);
    for (int64_t k = b * s.block; k < s.end_of(b); ++k) {
      const K key = key_of<T>(in[k]);
      bits |= key ^ first;
      keys[k] = key ^ flip;
      order[k] = static_cast<uint32_t>(k);
    }
    s.differ[item] = bits;
  }
}

template <class K>
void radix_count(const Call& call, const Range& range) {
  const Buffers<K> s(call);
  const int64_t pass = call.ints[4];
  for (int64_t item = range.begin; item < range.end; ++item) {
    const int64_t line = item / s.blocks, b = item % s.blocks;
    const uint64_t bits = s.differing(line);
    if (!s.active(bits, pass)) continue;
    uint32_t counts[kDigits] = {};
    const K* keys = s.keys + s.at(s.half(bits, pass), line);
    for (int64_t k = b * s.block; k < s.end_of(b); ++k) ++counts[keys[k] >> (8 * pass) & 255];
    __builtin_memcpy(s.counts + item * kDigits, counts, sizeof(counts));
  }
}

// Turns counts into first places: by digit, then by block. Items are lines.
template <class K>
void radix_places(const Call& call, const Range& range) {
  const Buffers<K> s(call);
  for (int64_t line = range.begin; line < range.end; ++line) {
    if (!s.active(s.differing(line), call.ints[4])) continue;
    uint32_t sum = 0;
    for (int v = 0; v < kDigits; ++v)
      for (int64_t b = 0; b < s.blocks; ++b) {
        uint32_t& place = s.counts[(line * s.blocks + b) * kDigits + v];
        const uint32_t count = place;
        place = sum;
        sum += count;
      }
  }
}

template <class K>
void radix_move(const Call& call, const Range& range) {
  const Buffers<K> s(call);
  const int64_t pass = call.ints[4];
  for (int64_t item = range.begin; item < range.end; ++item) {
    const int64_t line = item / s.blocks, b = item % s.blocks;
    const uint64_t bits = s.differing(line);
    if (!s.active(bits, pass)) continue;
    const int64_t half = s.half(bits, pass);
    const int64_t from = s.at(half, line), to = s.at(1 - half, line);
    uint32_t places[kDigits];
    __builtin_memcpy(places, s.counts + item * kDigits, sizeof(places));
    for (int64_t k = b * s.block; k < s.end_of(b); ++k) {
      const K key = s.keys[from + k];
      const uint32_t place = places[key >> (8 * pass) & 255]++;
      s.keys[to + place] = key;
      s.order[to + place] = s.order[from + k];
    }
  }
}

// Writes the sorted line out. operands 4-6: values, indices (i64), in.
template <class T>
void radix_values(const Call& call, const Range& range) {
  using K = key_t<T>;
  const Buffers<K> s(call);
  const K flip = static_cast<K>(call.ints[3]);
  for (int64_t item = range.begin; item < range.end; ++item) {
    const int64_t line = item / s.blocks, b = item % s.blocks;
    const int64_t at = s.at(s.half(s.differing(line), sizeof(K)), line);
    const Line<T> in = line_of<T>(call.operand[6], line);
    const Line<T> values = line_of<T>(call.operand[4], line);
    const Line<int64_t> indices = line_of<int64_t>(call.operand[5], line);
    for (int64_t k = b * s.block; k < s.end_of(b); ++k) {
      const K key = s.keys[at + k] ^ flip;
      const uint32_t from = s.order[at + k];
      values[k] = has_one_value<T>(key) ? value_of<T>(key) : in[from];
      indices[k] = from;
    }
  }
}

#define TRN_REGISTER_KEYS(name)                    \
  TRN_REGISTER(#name, DType::u8, name<uint8_t>);   \
  TRN_REGISTER(#name, DType::u16, name<uint16_t>); \
  TRN_REGISTER(#name, DType::u32, name<uint32_t>); \
  TRN_REGISTER(#name, DType::u64, name<uint64_t>)
TRN_REGISTER_ORDERED(radix_keys);
TRN_REGISTER_KEYS(radix_count);
TRN_REGISTER_KEYS(radix_places);
TRN_REGISTER_KEYS(radix_move);
TRN_REGISTER_ORDERED(radix_values);

}  // namespace
}  // namespace trn
