// How attention is cut up; shared by the operator, which counts items, and the kernels.
//
// Queries go in blocks of kQueryBlock rows, keys in blocks whose scores, keys and values together
// fill half of the second-level cache beside one block of queries (three quarters in the backward):
// every key read serves 96 queries, and every score is computed, used and forgotten without leaving
// the core.
//
// Query heads that share a key head are laid one after the other, so a block may span several.
#pragma once

#include "kernel.h"

namespace trn {

// A multiple of the rows (12, 6, 4) and columns (32, 16, 8) of every register tile.
inline constexpr int64_t kQueryBlock = 96;
inline constexpr int64_t kDropoutDraws = 4;  // Philox's counter goes on by so much with a call
inline constexpr int64_t kStateFloats = 4;   // room of Philox's seed and offset, two int64
inline constexpr int64_t kMaxHead = 256;     // longest head that is served
inline constexpr int64_t kMaxKeys = 768;     // most keys of a block
inline constexpr int64_t kTileStride =
    112;  // of a tile of scores: not a power of two, for L1's sake

// Stride of `n` floats a row: whole cache lines, an odd number of them.
TRN_INLINE int64_t attention_stride(int64_t n) { return ((n + 15) / 16 | 1) * 16; }

// Keys of a block of `row` bytes each, when `fixed` bytes stay beside them in `cache` bytes.
TRN_INLINE int64_t attention_keys(int64_t row, int64_t fixed, int64_t cache) {
  if (cache > kScratchBytes / 2) cache = kScratchBytes / 2;
  const int64_t n = (cache - fixed) / row / kQueryBlock * kQueryBlock;
  return n < kQueryBlock ? kQueryBlock : n > kMaxKeys ? kMaxKeys : n;
}
// Forward: a key, a value and a column of scores each; beside them queries and output.
TRN_INLINE int64_t attention_forward_keys(int64_t head, int64_t value_head, int64_t cache) {
  const int64_t k = attention_stride(head), v = attention_stride(value_head);
  return attention_keys(4 * (k + v + kTileStride), 4 * (head * kTileStride + kQueryBlock * v),
                        cache / 2);
}
// Backward: keys and values with their gradients stay while all queries pass by, and two tiles.
TRN_INLINE int64_t attention_backward_keys(int64_t head, int64_t value_head, int64_t cache) {
  const int64_t k = attention_stride(head), v = attention_stride(value_head);
  return attention_keys(4 * (3 * k + 2 * v + 2 * kTileStride), 0, cache / 4 * 3);
}

}  // namespace trn
