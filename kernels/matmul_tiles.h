// How matrix products are cut up; shared by the operator, which counts tiles, and the kernels.
//
// One item is one tile of C of one matrix of the batch. Its thread packs a panel of B, and of A
// where it must, into its scratch, multiplies them register tile by register tile into sums of the
// tile, and writes C once. k is never split over threads and is cut at the same places for every
// tile, so sums have one order.
#pragma once

#include "kernel.h"
#include "processor.h"

namespace trn {

inline constexpr int64_t kThin = 16;    // rows of C up to which the large factor is read in place
inline constexpr int64_t kDepth = 256;  // of k, in units of packed memory, a panel holds
inline constexpr int64_t kMaxDepth = kDepth + 16;  // if that spares a panel of a few units
inline constexpr int64_t kPanelM = 96;             // rows of A multiplied by the panel of B in turn
inline constexpr int64_t kStepM = 12, kStepN = 32;  // a register tile's at most
inline constexpr int64_t kTileUnits = 16;           // units of k that a tile register's row holds
inline constexpr int64_t kTiledStepM = 32;          // the same of tile registers
inline constexpr int64_t kMaxTile = 280 << 10;      // sums of a tile
inline constexpr int64_t kMaxTileM = 1104, kMaxTileN = 512;
inline constexpr int64_t kSpareBytes = 256 << 10;  // of scratch, behind what a tile takes

TRN_INLINE bool is_thin(int64_t m, int64_t n) { return m <= kThin || n <= kThin; }

// Rows and columns of a tile of C, and how many tiles C has each way.
struct Tiling {
  int64_t m, n, down, across;
  TRN_INLINE int64_t items() const { return down * across; }
};

TRN_INLINE int64_t parts_of(int64_t size, int64_t part) { return (size + part - 1) / part; }
// One of so many equal parts, a multiple of `step`; the last may be shorter.
TRN_INLINE int64_t one_part(int64_t size, int64_t parts, int64_t step) {
  return parts_of(parts_of(size, parts), step) * step;
}
// The same of as few parts as are at most `most`.
TRN_INLINE int64_t even_part(int64_t size, int64_t most, int64_t step) {
  return one_part(size, parts_of(size, most), step);
}

TRN_INLINE Tiling tiling_of(int64_t m, int64_t n, int64_t tile_m, int64_t tile_n) {
  return {tile_m, tile_n, parts_of(m, tile_m), parts_of(n, tile_n)};
}

// What the busiest thread does, in multiply-adds per element of k: tiles, and the packing of their
// factors, of which a column of B costs as much as kPack rows to multiply, and reading a row of A
// again a third of that.
inline double tiling_cost(const Tiling& t, int64_t batch, int threads) {
  constexpr double kPack = 12;
  const int64_t items = batch * t.items();
  const double rounds = items < 8 * threads ? static_cast<double>((items + threads - 1) / threads)
                                            : static_cast<double>(items) / threads;
  const double m = static_cast<double>(t.m), n = static_cast<double>(t.n);
  return rounds * (m * n + kPack * n + kPack / 3 * m);
}

// Sizes: a strip of B as wide as a register tile (kDepth x 32 floats: 32 KiB) stays in the first
// level while the rows of A pass by, 12 KiB at a time; with more depth the two of them push each
// other out of 48 KiB. The panel of B (kDepth x n) takes a quarter of the second level, beside
// kPanelM rows of A (96 KiB) and what passes through of the sums. Rows of A are read where they lie
// when k is contiguous, so a narrow tile costs little; the panel of B is packed anew for each tile
// (1/m of the arithmetic, and dear where a product is of halves), so m is as large as the scratch
// allows. Sums of a tile wait there between blocks of k: each is touched once in kDepth products.
// As many tiles are made as threads can share, none of less than kItemProducts; of the numbers
// from there on those that cost the least: more tiles end together, fewer pack less.
inline Tiling matmul_tiling(int64_t m, int64_t n, int64_t k, int64_t batch, int threads) {
  constexpr int64_t kItemProducts = 1 << 22, kMore = 3;
  const int64_t step_m = active_isa() == Isa::amx ? kTiledStepM : kStepM;
  const int64_t worth = batch * m * n * k / kItemProducts;
  const int64_t items = worth < threads ? worth : threads;
  const int64_t quarter = caches().l2 / 4 / (kDepth * 4) / kStepN * kStepN;
  const int64_t most_n = quarter < 128 ? 128 : quarter > kMaxTileN ? kMaxTileN : quarter;
  const int64_t room = kMaxTile / most_n - step_m;
  const int64_t most_m = room < kMaxTileM ? room : kMaxTileM;
  Tiling best = tiling_of(m, n, even_part(m, most_m, step_m), even_part(n, most_n, kStepN));
  while (batch * best.items() < items) {
    if (best.m > kPanelM && best.m >= best.n) best.m = one_part(best.m, 2, step_m);
    else if (best.n > 2 * kStepN) best.n = one_part(best.n, 2, kStepN);
    else break;
    best = tiling_of(m, n, best.m, best.n);
  }
  if (threads == 1) return best;
  double least = tiling_cost(best, batch, threads);
  const Tiling base = best;
  for (int64_t down = base.down; down <= base.down + kMore; ++down)
    for (int64_t across = base.across; across <= base.across + kMore; ++across) {
      const Tiling t = tiling_of(m, n, one_part(m, down, step_m), one_part(n, across, kStepN));
      const double cost = tiling_cost(t, batch, threads);
      if (batch * t.items() > worth || cost >= least) continue;
      least = cost;
      best = t;
    }
  return best;
}

// Rows of A whose distance is a multiple of this share one set of the first level, of which a way
// is a page: those of a register tile would push each other out between two units of k. The kernels
// copy such rows for each tile, and from kApartTiles tiles across on one copy of all of A, whose
// rows lie kApartBytes further apart, is the cheaper one: it took 2 to 5 % off products of 2048.
inline constexpr int64_t kWayBytes = 4096, kApartBytes = 64, kApartTiles = 4;
inline bool rows_collide(int64_t bytes) { return bytes % kWayBytes == 0; }
// Whether rows of A are read where they lie; others are converted as they are packed.
inline bool reads_rows(DType type) {
  if (type == DType::f32 || type == DType::f64) return true;
  return (type == DType::bf16 || type == DType::i8) && active_isa() == Isa::avx512 &&
         has_dot_products();
}

// A thin product's items are runs of the longer side: `n` of them an item, whole cache lines, at
// most 1024 so that rows of the large factor are read 4 KiB at a time, and several a thread.
inline Tiling thin_tiling(int64_t m, int64_t n) {
  const int64_t longer = m <= kThin ? n : m;
  const int64_t most = longer >= 4096 ? 1024 : longer > 1024 ? longer / 8 : 128;
  const int64_t part = even_part(longer, most, 64);
  return {m, part, 1, parts_of(longer, part)};
}

}  // namespace trn
