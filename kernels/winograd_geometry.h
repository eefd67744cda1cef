// How Winograd's convolutions are cut up; shared by the operator and the kernels.
//
// A tile of 4x4 results is computed from the patch of 6x6 of the image that it meets, by 36
// products a pair of channels where the sum over taps has 144. Items are runs of `block` tiles:
// their transformed patches [36][block][ci] and the products' sums [36][block][co] lie in scratch,
// so that each of the 36 transformed weights [ci][co] is read once for `block` rows. More rows read
// them less often, fewer stay in the second-level cache; beyond 48 nothing is gained.
#pragma once

#include "kernel.h"

namespace trn {

inline constexpr int kTileSide = 4, kPatchSide = 6, kPoints = kPatchSide * kPatchSide;
inline constexpr int64_t kStripColumns = 32;  // of packed weights: whole register tiles
inline constexpr int64_t kTileRun = 16;       // tiles whose image lines are in scratch at a time
inline constexpr int64_t kTileStep = 12;      // rows of a register tile, of any instruction set
inline constexpr int64_t kMostTiles = 48;

TRN_INLINE constexpr int64_t tiles_along(int64_t results) {
  return (results + kTileSide - 1) / kTileSide;
}
TRN_INLINE constexpr int64_t strips_of(int64_t channels) {
  return (channels + kStripColumns - 1) / kStripColumns;
}
// Distance of rows of transformed patches: whole vectors, and no power of two, or the rows of a
// register tile would share cache sets.
TRN_INLINE constexpr int64_t patch_row(int64_t ci) { return (ci + 15) / 16 * 16 + 16; }

// Distance of points' matrices: as many lines of cache as no power of two divides, for what a tile
// reads or writes at once lies that far apart.
TRN_INLINE constexpr int64_t point_step(int64_t floats) { return (floats / 16 | 1) * 16; }

// Lines of the image or of results under a run of tiles, and a square of vectors.
inline constexpr int64_t kLineFloats = (kPatchSide * (kTileSide * kTileRun + 2) + 16) * 16;
// Floats that an item of that many tiles takes of scratch.
TRN_INLINE constexpr int64_t scratch_floats(int64_t ci, int64_t co, int64_t block) {
  return kLineFloats + kPoints * (point_step(block * patch_row(ci)) +
                                  point_step(block * strips_of(co) * kStripColumns));
}

// Tiles of an item, or 0 where the channels are too many for scratch.
TRN_INLINE int64_t tiles_of_item(int64_t ci, int64_t co, int64_t tiles) {
  constexpr int64_t kItems = 4;  // so that threads share them
  int64_t block = kMostTiles;
  while (block > kTileStep && (tiles / block < kItems ||
                               scratch_floats(ci, co, block) * 4 > kScratchBytes))
    block -= kTileStep;
  return scratch_floats(ci, co, block) * 4 > kScratchBytes ? 0 : block;
}

}  // namespace trn
