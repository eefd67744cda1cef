// Blocked products of bfloat16 and of bytes in tile registers. Needs AMX, and AVX512 with dot
// products for what is around the tiles.
//
// Four tiles hold 32 x 32 sums. A step of 16 units of k loads two tiles of A, from where A lies or
// from its panel, and two of B's strip, which is packed as the instruction wants it, for four
// products: 4 KiB for 64 cycles of them, half from the first level and half from the second.
#pragma once

#include "amx.h"
#include "matmul_bytes.h"

namespace trn {
namespace {

// Tiles 0 to 3 are sums, 4 and 5 rows of A, 6 and 7 columns of B.
#define TRN_TILE_PRODUCTS(c, a, b)                          \
  do {                                                      \
    if constexpr (Math::kPer == 4) TRN_TILE_BYTES(c, a, b); \
    else TRN_TILE_PAIRS(c, a, b);                           \
  } while (0)

// The Math class of bfloat16 (PairMath) or of bytes (ByteMath), multiplied by tiles.
template <class Math>
struct Tiled : Math {
  using Sum = typename Math::Sum;
  using Sums = typename Vec<Sum>::Type;
  static constexpr int kBlockRows = 2 * kTileHeight;
  static constexpr bool kSettled = false;  // bytes of A and B are both signed here
  static constexpr int kUnits = kTileBytes / sizeof(uint32_t), kStripUnits = kVectors * kUnits;
  static_assert(kStripUnits == 2 * kTileHeight && kBlockRows == kTiledStepM);
  static_assert(kUnits == kTileUnits);

  // One step of k: units [0, 16) of the rows at `a` and of the strip at `b`.
  template <int down, int across>
  TRN_INLINE static void add_step(const char* a, int64_t row, const uint32_t* b) {
    constexpr int64_t kStripBytes = kStripUnits * sizeof(uint32_t);
    TRN_TILE_LOAD(4, a, row);
    TRN_TILE_LOAD(6, b, kStripBytes);
    TRN_TILE_PRODUCTS(0, 4, 6);
    if constexpr (across > 1) {
      TRN_TILE_LOAD(7, b + kUnits, kStripBytes);
      TRN_TILE_PRODUCTS(1, 4, 7);
    }
    if constexpr (down > 1) {
      TRN_TILE_LOAD(5, a + kTileHeight * row, row);
      TRN_TILE_PRODUCTS(2, 5, 6);
    }
    if constexpr (down > 1 && across > 1) TRN_TILE_PRODUCTS(3, 5, 7);
  }

  template <int down, int across>
  TRN_INLINE static void load_sums(const Sum* from, int64_t stride) {
    const int64_t bytes = stride * sizeof(Sum), lower = kTileHeight * stride;
    TRN_TILE_LOAD(0, from, bytes);
    if constexpr (across > 1) TRN_TILE_LOAD(1, from + kUnits, bytes);
    if constexpr (down > 1) TRN_TILE_LOAD(2, from + lower, bytes);
    if constexpr (down > 1 && across > 1) TRN_TILE_LOAD(3, from + lower + kUnits, bytes);
  }
  template <int down, int across>
  TRN_INLINE static void store_sums(Sum* to, int64_t stride) {
    const int64_t bytes = stride * sizeof(Sum), lower = kTileHeight * stride;
    TRN_TILE_STORE(0, to, bytes);
    if constexpr (across > 1) TRN_TILE_STORE(1, to + kUnits, bytes);
    if constexpr (down > 1) TRN_TILE_STORE(2, to + lower, bytes);
    if constexpr (down > 1 && across > 1) TRN_TILE_STORE(3, to + lower + kUnits, bytes);
    tile_fence();
  }

  // `units` of k of `rows` rows at `a`, `row` bytes apart, times a strip. Memory of whole tiles of
  // rows can be read; what it holds beyond `rows` does not matter. To is Blocked::To.
  template <int down, int across, class To>
  __attribute__((noinline)) static void multiply_tile(const char* a, int64_t row, const uint32_t* b,
                                                      int64_t units, int64_t rows, const To& to) {
    const bool whole = rows >= down * kTileHeight;  // so sums have memory for all rows
    tile_fence();
    if (to.add && whole) load_sums<down, across>(to.sums, to.stride);
    else {
      TRN_TILE_ZERO(0);
      TRN_TILE_ZERO(1);
      TRN_TILE_ZERO(2);
      TRN_TILE_ZERO(3);
    }
    const int64_t elements = units * Math::kPer - (to.tail ? Math::kPer - to.tail : 0);
    const int64_t bytes = elements * sizeof(typename Math::Source), steps = bytes / kTileBytes;
    for (int64_t s = 0; s < steps; ++s)
      add_step<down, across>(a + s * kTileBytes, row, b + s * kUnits * kStripUnits);
    if (const int64_t left = bytes % kTileBytes) {
      // What lies behind the end of a row is not zero, and may be NaN.
      alignas(64) char end[down * kTileHeight][kTileBytes];
      for (int r = 0; r < down * kTileHeight; ++r)
        _mm512_store_si512(
            end[r], _mm512_maskz_loadu_epi8((1ull << left) - 1, a + r * row + steps * kTileBytes));
      tile_fence();
      add_step<down, across>(end[0], kTileBytes, b + steps * kUnits * kStripUnits);
    }
    if (whole && !to.out) return store_sums<down, across>(to.sums, to.stride);
    alignas(64) Sum sums[down * kTileHeight * kStripUnits];
    store_sums<down, across>(sums, kStripUnits);
    const bool add = to.add && !whole;
    for (int64_t r = 0; r < rows && r < down * kTileHeight; ++r)
      finish_row<across>(sums + r * kStripUnits, add, r, to);
  }

  template <int across, class To>
  TRN_INLINE static void finish_row(const Sum* sums, bool add, int64_t r, const To& to) {
    Sums v[across];
    for (int i = 0; i < across; ++i) {
      v[i] = *reinterpret_cast<const Sums*>(sums + i * kUnits);
      Sums* before = reinterpret_cast<Sums*>(to.sums + r * to.stride + i * kUnits);
      if (add) v[i] += *before;
      if constexpr (Math::kDirect)
        if (to.more) v[i] += *reinterpret_cast<const Sums*>(to.more + i * kUnits);
      if (!to.out) *before = v[i];
    }
    if constexpr (Math::kDirect)
      if (to.out) Math::store(to.out + r * to.row, v, to.columns);
  }

  template <class To>
  static void multiply_tiles(const char* a, int64_t row, const uint32_t* b, int64_t columns,
                             int64_t units, int64_t rows, const To& to) {
    const bool flat = rows <= kTileHeight, narrow = columns <= kUnits;
    if (flat)
      narrow ? multiply_tile<1, 1>(a, row, b, units, rows, to)
             : multiply_tile<1, 2>(a, row, b, units, rows, to);
    else
      narrow ? multiply_tile<2, 1>(a, row, b, units, rows, to)
             : multiply_tile<2, 2>(a, row, b, units, rows, to);
  }
};
#undef TRN_TILE_PRODUCTS

inline void matmul_pairs_by_tiles(const Call& call, const Range& range) {
  if (is_thin(call.operand[0].sizes[1], call.operand[0].sizes[2]))
    return multiply_thin<bf16_t, PairDots>(call, range);
  const TileScope tiles;
  multiply_blocked<Tiled<PairMath>>(call, range);
}

inline void matmul_bytes_by_tiles(const Call& call, const Range& range) {
  const TileScope tiles;
  multiply_blocked<Tiled<ByteMath>>(call, range);
}

}  // namespace
}  // namespace trn
