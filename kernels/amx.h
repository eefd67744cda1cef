// AMX's tile registers: eight of 16 rows of 64 bytes, and what is done with them. The register's
// number has to be written as a digit.
//
// TRN_EMULATE_TILES gives the same in plain C++, so that what is built on it is tested wherever
// AVX512 is.
#pragma once

#include <immintrin.h>

#include "kernel.h"

namespace trn {
namespace {

constexpr int kTileHeight = 16, kTileBytes = 64;

#ifdef TRN_EMULATE_TILES

struct EmulatedTile {
  char row[kTileHeight][kTileBytes];
};
thread_local EmulatedTile emulated_tile[8];

template <class T>
T& element(int tile, int row, int i) {
  return reinterpret_cast<T*>(emulated_tile[tile].row[row])[i];
}
// c += a b for a whose rows, and b whose columns, are runs of `per` elements of S.
template <class C, class S, int per>
void emulate_products(int c, int a, int b) {
  constexpr int kUnits = kTileBytes / 4;
  for (int i = 0; i < kTileHeight; ++i)
    for (int j = 0; j < kUnits; ++j)
      for (int p = 0; p < kUnits * per; ++p)
        element<C>(c, i, j) += static_cast<C>(element<S>(a, i, p)) *
                               static_cast<C>(element<S>(b, p / per, j * per + p % per));
}
inline void emulate_load(int tile, const void* from, int64_t bytes) {
  for (int i = 0; i < kTileHeight; ++i)
    __builtin_memcpy(emulated_tile[tile].row[i], static_cast<const char*>(from) + i * bytes,
                     kTileBytes);
}
inline void emulate_store(int tile, void* to, int64_t bytes) {
  for (int i = 0; i < kTileHeight; ++i)
    __builtin_memcpy(static_cast<char*>(to) + i * bytes, emulated_tile[tile].row[i], kTileBytes);
}
#define TRN_TILE_ZERO(t) (emulated_tile[t] = {})
#define TRN_TILE_LOAD(t, from, bytes) emulate_load(t, from, bytes)
#define TRN_TILE_STORE(t, to, bytes) emulate_store(t, to, bytes)
#define TRN_TILE_PAIRS(c, a, b) (emulate_products<float, bf16_t, 2>(c, a, b))
#define TRN_TILE_BYTES(c, a, b) (emulate_products<int32_t, int8_t, 4>(c, a, b))
struct TileScope {
  TileScope() { __builtin_memset(emulated_tile, 0xff, sizeof(emulated_tile)); }
  ~TileScope() {}
};

#else

#define TRN_TILE_ZERO(t) _tile_zero(t)
#define TRN_TILE_LOAD(t, from, bytes) _tile_loadd(t, from, bytes)
#define TRN_TILE_STORE(t, to, bytes) _tile_stored(t, to, bytes)
#define TRN_TILE_PAIRS(c, a, b) _tile_dpbf16ps(c, a, b)
#define TRN_TILE_BYTES(c, a, b) _tile_dpbssd(c, a, b)

// All tiles have their full size while it lives; none exist before or after.
struct TileScope {
  TileScope() {
    struct alignas(64) {
      uint8_t palette = 1, start_row = 0, reserved[14] = {};
      uint16_t bytes[16] = {};
      uint8_t rows[16] = {};
    } shape;
    static_assert(sizeof(shape) == 64);
    for (int i = 0; i < 8; ++i) shape.bytes[i] = kTileBytes, shape.rows[i] = kTileHeight;
    asm volatile("" : : "r"(&shape) : "memory");
    _tile_loadconfig(&shape);
  }
  ~TileScope() { _tile_release(); }
  TileScope(const TileScope&) = delete;
  TileScope& operator=(const TileScope&) = delete;
};

#endif

// Memory that tiles were stored to, or will be loaded from, is not kept in registers beyond this:
// the compiler does not know that the instructions above touch it.
TRN_INLINE void tile_fence() { asm volatile("" : : : "memory"); }

}  // namespace
}  // namespace trn
