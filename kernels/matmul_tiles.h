// How matrix products are cut up; shared by the operator, which counts tiles, and the kernels.
//
// One item is one tile of C of one matrix of the batch. Its thread packs panels of A and B into
// its scratch, multiplies them register tile by register tile into an accumulator of the tile, and
// writes C once. k is never split over threads, so sums have one order.
//
// Sizes: kTileM x kTileN accumulators (4 bytes: 512 KiB), a B panel of kDepth x kTileN (512 KiB)
// and an A panel of kPanelM x kDepth (96 KiB) stay within a second-level cache of 1 to 2 MiB; one
// register-wide strip of B (kDepth x 32: 32 KiB) stays in the first level while A passes by.
// Tiles of 256 rows make the repacking of B a thirtieth of the arithmetic.
#pragma once

#include "kernel.h"

namespace trn {

inline constexpr int64_t kTileM = 256, kTileN = 512;
inline constexpr int64_t kDepth = 256, kPanelM = 96;
inline constexpr int64_t kThin = 4;  // rows of C up to which no packing pays
inline constexpr int64_t kThinColumns = 64;  // columns of C an item of a thin product computes

TRN_INLINE bool is_thin(int64_t m, int64_t n) { return m <= kThin || n <= kThin; }
// Items of the product of one matrix of the batch.
TRN_INLINE int64_t matmul_items(int64_t m, int64_t n) {
  if (is_thin(m, n)) return ((m <= kThin ? n : m) + kThinColumns - 1) / kThinColumns;
  return ((m + kTileM - 1) / kTileM) * ((n + kTileN - 1) / kTileN);
}

}  // namespace trn
