// What a mask selects: counting, nonzero, masked_select, masked_scatter.
//
// The elements are cut into chunks; a first kernel counts the true ones of each, the operator sums
// the counts, and then every chunk knows where its results go.
#include "indexing.h"

namespace trn {
namespace {

struct Chunk {
  int64_t begin, end;
};
TRN_INLINE Chunk chunk_of(int64_t index, int64_t length, int64_t total) {
  const int64_t begin = index * length;
  return {begin, begin + length < total ? begin + length : total};
}
// True elements before a chunk, from the running counts at the ends of chunks.
TRN_INLINE int64_t before_chunk(const Operand& ends, int64_t chunk) {
  return chunk ? ends.as<int64_t>()[chunk - 1] : 0;
}

// operands: counts [chunks] i64, mask of bool. ints[0]: elements of a chunk. Items are chunks.
void count_chunks(const Call& call, const Range& range) {
  const Operand& mask = call.operand[1];
  const int64_t total = mask.numel();
  for (int64_t c = range.begin; c < range.end; ++c) {
    const Chunk chunk = chunk_of(c, call.ints[0], total);
    int64_t count = 0;
    for (Walk w(call, mask, 2, chunk.begin, chunk.end); w.left > 0;) {
      const int64_t run = w.run(), step = w.step(1);
      const uint8_t* from = mask.as<uint8_t>() + w.offset[1];
      if (step == 1)
        for (int64_t k = 0; k < run; ++k) count += from[k] != 0;
      else
        for (int64_t k = 0; k < run; ++k) count += from[k * step] != 0;
      w.advance(run);
    }
    call.operand[0].as<int64_t>()[c] = count;
  }
}

// Calls body(rank, offsets, k) for every true element: how many are before it, the operands'
// offsets at the start of its row and its place in that row.
template <class Body>
TRN_INLINE void each_true(const Call& call, const Range& range, const Operand& mask, int mask_index,
                          int n, const Operand& ends, Body body) {
  const int64_t total = mask.numel();
  for (int64_t c = range.begin; c < range.end; ++c) {
    const Chunk chunk = chunk_of(c, call.ints[0], total);
    int64_t rank = before_chunk(ends, c);
    for (Walk w(call, mask, n, chunk.begin, chunk.end); w.left > 0;) {
      const int64_t run = w.run(), step = w.step(mask_index);
      const bool* from = mask.as<bool>() + w.offset[mask_index];
      for (int64_t k = 0; k < run; ++k)
        if (from[k * step]) body(rank++, w, k);
      w.advance(run);
    }
  }
}

// Coordinates of the true elements. operands: out [n, dims] i64, mask, ends [chunks].
// ints[0]: elements of a chunk; ints[1]: rows of out, the rest is dropped.
void nonzero(const Call& call, const Range& range) {
  const Operand &out = call.operand[0], &mask = call.operand[1];
  each_true(call, range, mask, 1, 2, call.operand[2], [&](int64_t rank, const Walk& w, int64_t k) {
    if (rank >= call.ints[1]) return;
    int64_t* row = out.as<int64_t>() + rank * out.strides[0];
    for (int d = 0; d < mask.ndim; ++d)
      row[d * out.strides[1]] = w.at(d) + (d == mask.ndim - 1 ? k : 0);
  });
}

// The selected elements one after the other. operands: out (dense), mask, self of the mask's
// shape, ends. ints[0]: elements of a chunk.
template <class U>
void masked_select(const Call& call, const Range& range) {
  U* out = call.operand[0].as<U>();
  const U* self = call.operand[2].as<U>();
  each_true(call, range, call.operand[1], 1, 3, call.operand[3],
            [=](int64_t rank, const Walk& w, int64_t k) {
              out[rank] = self[w.offset[2] + k * w.step(2)];
            });
}

// The other way: the n-th true element becomes source[n]. operands: self, mask, source (dense),
// ends. ints[0]: elements of a chunk. Too short a source is a fault.
template <class U>
void masked_scatter(const Call& call, const Range& range) {
  U* self = call.operand[0].as<U>();
  const Operand& source = call.operand[2];
  const int64_t available = source.numel();
  each_true(call, range, call.operand[1], 1, 2, call.operand[3],
            [&](int64_t rank, const Walk& w, int64_t k) {
              if (rank < available) self[w.offset[0] + k * w.step(0)] = source.as<U>()[rank];
              else range.fault->report(FaultKind::index_out_of_range, rank, available);
            });
}

TRN_REGISTER("count_chunks", DType::b8, count_chunks);
TRN_REGISTER("nonzero", DType::b8, nonzero);
TRN_REGISTER_BY_SIZE(masked_select);
TRN_REGISTER_BY_SIZE(masked_scatter);

}  // namespace
}  // namespace trn
