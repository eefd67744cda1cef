// Machine limits of products in tile registers; operands as in probe.cpp.
#include "amx.h"
#include "processor.h"

namespace trn {
namespace {

// Four independent sums, as a product of matrices has them.
#define TRN_PEAK(name, products, per)                                                         \
  void name(const Call& call, const Range& range) {                                           \
    const TileScope tiles;                                                                    \
    const int64_t rounds = call.ints[0];                                                      \
    constexpr double kEach = 2.0 * kTileHeight * (kTileBytes / 4) * (kTileBytes / 4) * (per); \
    TRN_TILE_ZERO(0);                                                                         \
    TRN_TILE_ZERO(1);                                                                         \
    TRN_TILE_ZERO(2);                                                                         \
    TRN_TILE_ZERO(3);                                                                         \
    TRN_TILE_ZERO(4);                                                                         \
    TRN_TILE_ZERO(5);                                                                         \
    TRN_TILE_ZERO(6);                                                                         \
    TRN_TILE_ZERO(7);                                                                         \
    for (int64_t item = range.begin; item < range.end; ++item) {                              \
      for (int64_t i = 0; i < rounds; ++i) {                                                  \
        products(0, 4, 6);                                                                    \
        products(1, 4, 7);                                                                    \
        products(2, 5, 6);                                                                    \
        products(3, 5, 7);                                                                    \
      }                                                                                       \
      call.operand[0].as<double>()[item] = static_cast<double>(rounds) * 4 * kEach;           \
    }                                                                                         \
  }
TRN_PEAK(peak_bf16, TRN_TILE_PAIRS, 2)
TRN_PEAK(peak_bytes, TRN_TILE_BYTES, 4)
#undef TRN_PEAK

TRN_REGISTER_IF(has_tiles(), "probe_peak", DType::bf16, peak_bf16);
TRN_REGISTER_IF(has_tiles(), "probe_peak", DType::i8, peak_bytes);

}  // namespace
}  // namespace trn
