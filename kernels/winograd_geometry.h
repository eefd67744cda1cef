// How Winograd's convolutions are cut up; shared by the operator and the kernels.
//
// Along an axis with r taps, patches of 6 positions of the image give tiles of 7 - r results, by a
// product for each of 6 points. A tile of 4x4 results of 3x3 taps takes 36 products a pair of
// channels where the sum over taps has 144. With one tap along y (a convolution along lines) there
// are the 6 points of x. Taps along z are summed over as channels are.
//
// With stride s the taps k = s * a + b of each phase b meet positions s apart: a convolution over
// the phases of the image, seen as channels; its transpose gives the phases of the results.
//
// Items are runs of `block` tiles on some planes along z. The transformed patches [points][block]
// [channels] of as many planes as there are taps along z and the sums of products
// [points][block][outputs] lie in scratch, so that each transformed weight [channels][outputs] is
// read once for `block` rows. More rows read them less often, fewer stay in the second-level cache;
// beyond 48 nothing is gained.
#pragma once

#include "kernel.h"

namespace trn {

inline constexpr int kPatchSide = 6;
inline constexpr int64_t kStripColumns = 32;  // of packed weights: whole register tiles
inline constexpr int64_t kRunWidth = 64;      // results of a run of tiles in scratch at a time
inline constexpr int64_t kTileStep = 12;      // rows of a register tile, of any instruction set
inline constexpr int64_t kMostTiles = 48;
inline constexpr int64_t kGradientTiles = 24;  // of a block whose products are added to sums
inline constexpr int64_t kMostDepth = 5;       // taps along z

// Ints of the kernels. `side`: results of a tile along y and x; along y 1 where it has one tap.
// `grid`: results of a plane. Result 0 reads the image from -padding on (z, y, x). Phase (b, c) of
// the result at (y, x) is written at y * stride[0] + b + shift[0], x * stride[1] + c + shift[1].
struct WinogradShape {
  int64_t side[2], grid[2], padding[3], depth, stride[2], shift[2];

  TRN_INLINE int64_t high() const { return side[0] == 1 ? 1 : kPatchSide; }
  TRN_INLINE int64_t points() const { return high() * kPatchSide; }
  TRN_INLINE int64_t taps() const { return (high() - side[0] + 1) * (kPatchSide - side[1] + 1); }
  TRN_INLINE int64_t down() const { return (grid[0] + side[0] - 1) / side[0]; }
  TRN_INLINE int64_t across() const { return (grid[1] + side[1] - 1) / side[1]; }
};
inline constexpr int kShapeInts = sizeof(WinogradShape) / sizeof(int64_t);

TRN_INLINE constexpr int64_t strips_of(int64_t channels) {
  return (channels + kStripColumns - 1) / kStripColumns;
}
// Rows of sums: register tiles write whole ones.
TRN_INLINE constexpr int64_t whole_tiles(int64_t rows) {
  return (rows + kTileStep - 1) / kTileStep * kTileStep;
}
// Distance of rows of transformed patches: whole vectors, and no power of two, or the rows of a
// register tile would share cache sets.
TRN_INLINE constexpr int64_t patch_row(int64_t ci) { return (ci + 15) / 16 * 16 + 16; }

// Distance of points' matrices: as many lines of cache as no power of two divides, for what a tile
// reads or writes at once lies that far apart.
TRN_INLINE constexpr int64_t point_step(int64_t floats) { return (floats / 16 | 1) * 16; }

// Lines of the image or of results under a run of tiles, and a square of vectors.
inline constexpr int64_t kLineFloats = (kPatchSide * (kRunWidth + kPatchSide) + 16) * 16;

// Floats that an item of that many tiles takes of scratch.
TRN_INLINE int64_t scratch_floats(const WinogradShape& s, int64_t ci, int64_t co, int64_t block) {
  return kLineFloats + s.points() * (s.depth * point_step(block * patch_row(ci)) +
                                     point_step(block * strips_of(co) * kStripColumns));
}
TRN_INLINE int64_t gradient_floats(const WinogradShape& s, int64_t ci, int64_t co) {
  return kLineFloats + s.points() * (s.depth * point_step(kGradientTiles * patch_row(ci)) +
                                     point_step(kGradientTiles * patch_row(co)));
}

// Tiles of an item, or 0 where the channels are too many for scratch.
TRN_INLINE int64_t tiles_of_item(const WinogradShape& s, int64_t ci, int64_t co, int64_t tiles) {
  constexpr int64_t kItems = 4;  // so that threads share them
  int64_t block = kMostTiles;
  while (block > kTileStep &&
         (tiles / block < kItems || scratch_floats(s, ci, co, block) * 4 > kScratchBytes))
    block -= kTileStep;
  return scratch_floats(s, ci, co, block) * 4 > kScratchBytes ? 0 : block;
}

}  // namespace trn
