// How gradients of convolutions' weights are cut up; shared by the operator and the kernels.
#pragma once

#include "matmul_tiles.h"

namespace trn {

inline constexpr int64_t kWeightRows = 256;    // channels of results of an item at most
inline constexpr int64_t kWeightColumns = 32;  // columns of an item are a multiple of it

// Rows (channels of results), columns (taps and channels of the image) and positions of an item,
// and how many items there are each way.
struct WeightTiling {
  int64_t rows, columns, positions, down, across, chunks;
};

// Sums of an item stay in a quarter of the second level while its positions pass. Where a weight is
// too small to be shared by threads, positions are cut in chunks, each with sums of its own that
// are added in order at the end.
inline WeightTiling weight_tiling(int64_t m, int64_t n, int64_t positions, int64_t groups) {
  constexpr int64_t kItems = 8, kWorthSharing = 1 << 21, kLeast = 512;
  WeightTiling t;
  t.rows = even_part(m, kWeightRows, 1);
  t.down = (m + t.rows - 1) / t.rows;
  const int64_t most = caches().l2 / 4 / (t.rows * 4) / kWeightColumns * kWeightColumns;
  t.columns = even_part(n, most > kWeightColumns ? most : kWeightColumns, kWeightColumns);
  t.across = (n + t.columns - 1) / t.columns;
  const int64_t items = groups * t.down * t.across;
  int64_t chunks = m * n * positions < kWorthSharing / groups ? 1 : (kItems + items - 1) / items;
  if (chunks > positions / kLeast) chunks = positions < kLeast ? 1 : positions / kLeast;
  t.positions = even_part(positions, (positions + chunks - 1) / chunks, 1);
  t.chunks = (positions + t.positions - 1) / t.positions;
  return t;
}

}  // namespace trn
