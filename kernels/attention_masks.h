// Masks, causality and dropout on a tile of attention's scores.
#pragma once

#include "attention_blocks.h"
#include "blocks.h"
#include "math.h"
#include "philox.h"

namespace trn {
namespace {

// A mask's row from key on as exponents of two.
TRN_INLINE void load_mask(float* to, const Operand& mask, const char* row, int64_t n) {
  TRN_ISA_NAMESPACE::convert_run(to, DType::f32, 1, row, mask.dtype, mask.strides[3], n);
  if (mask.dtype == DType::b8)
    for (int64_t i = 0; i < n; ++i) to[i] = to[i] != 0 ? 0.f : -infinity<float>();
  else
    for (int64_t i = 0; i < n; ++i) to[i] *= kLog2e;
}

// tile = factor * tile + mask. `buffer` has room for 2 * kLanes rows of kMaxKeys + kLanes.
void add_mask(Word* tile, const Problem& p, const Queries& b, int64_t key, int64_t n, float factor,
              float* buffer) {
  const Operand& mask = p.mask;
  const int64_t ld = kMaxKeys + kLanes;
  const bool one = mask.strides[2] == 0 && (mask.strides[1] == 0 || b.head[0] == b.head[b.n - 1]);
  if (one) load_mask(buffer, mask, element_of(mask, b, 0, key), n);
  for (int64_t j = 0; j < b.columns; j += kLanes) {
    const int64_t end = seen(b, j, kLanes, key, n);
    if (one) {
      for (int64_t k = 0; k < end; ++k)
        store(tile + k * kTileStride + j, load(tile + k * kTileStride + j) * factor + buffer[k]);
      continue;
    }
    float* across = buffer + kLanes * ld;
    for (int i = 0; i < kLanes; ++i)
      load_mask(buffer + i * ld, mask, element_of(mask, b, j + i < b.n ? j + i : b.n - 1, key),
                end);
    transpose<false>(buffer, ld, across, kLanes, kLanes, end, 1.f);
    for (int64_t k = 0; k < end; ++k)
      store(tile + k * kTileStride + j,
            load(tile + k * kTileStride + j) * factor + load(across + k * kLanes));
  }
}

// -inf where a query comes before a key.
TRN_INLINE void hide_later_keys(Word* tile, const Queries& b, int64_t key, int64_t n) {
  for (int64_t v = 0; v < b.columns / kLanes; ++v) {
    const Ints at = *reinterpret_cast<const Ints*>(b.at + v * kLanes);
    const int64_t end = seen(b, v * kLanes, kLanes, key, n);
    for (int64_t k = b.all[v] > key ? b.all[v] - key : 0; k < end; ++k) {
      Word* x = tile + k * kTileStride + v * kLanes;
      store(x, at < static_cast<int32_t>(key + k) ? broadcast(-infinity<float>()) : load(x));
    }
  }
}

// Brings raw scores into exponents of two up to the factor that is returned, which is positive.
template <class Words>
TRN_INLINE float finish_scores(Word* tile, const Problem& p, const Queries& b, int64_t key,
                               int64_t n, float factor, float* buffer) {
  if (!p.mask.absent()) {
    add_mask(tile, p, b, key, n, factor, buffer);
    factor = 1;
  } else if (!(factor > 0)) {
    for (int64_t k = 0; k < n; ++k)
      for (int64_t j = 0; j < b.columns; ++j) tile[k * kTileStride + j] *= factor;
    factor = 1;
  }
  if (p.causal) hide_later_keys(tile, b, key, n);
  return factor;
}

// Calls f(k, j, keep) for every row k of keys and vector j of queries: keep is 1 / p.keep for what
// dropout keeps, else 0. An element's number depends on its place in the attention matrix only.
template <class F>
TRN_INLINE void each_dropped(const Problem& p, const Queries& b, int64_t key, int64_t n, F f) {
  const float factor = 1 / p.keep;
  const uint64_t fours = static_cast<uint64_t>(p.keys + 3) / 4;
  const uint64_t heads = static_cast<uint64_t>(p.q.sizes[1]);
  for (int64_t j = 0; j < b.columns; j += kLanes)
    for (int64_t k = 0; k < n; k += 4) {
      alignas(64) float keep[4][kLanes];
      for (int l = 0; l < kLanes; ++l) {
        const uint64_t row = (static_cast<uint64_t>(b.batch) * heads + b.head[j + l]) * p.queries +
                             static_cast<uint64_t>(b.at[j + l]);
        const Philox4 w =
            philox(p.seed, p.offset, row * fours + static_cast<uint64_t>(key + k) / 4);
        for (int t = 0; t < 4; ++t) keep[t][l] = uniform_float(w.v[t]) < p.keep ? factor : 0.f;
      }
      for (int64_t t = 0; t < 4 && k + t < n; ++t) f(k + t, j, load(keep[t]));
    }
}

}  // namespace
}  // namespace trn
