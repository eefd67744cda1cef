// Sums, means and maxima of bags of rows of a table, and the gradient for a row's own weight.
//
// A bag is a run of the index list: bag b starts at offsets[b] (bag 0 at 0) and ends where the
// next one starts, the last at the end. Rows of the padding index are not in any bag.
#include "blocks.h"

namespace trn {
namespace {

using TRN_ISA_NAMESPACE::convert_run;

enum Mode : int64_t { kSum, kMean, kMax };
constexpr int64_t kColumns = 1024;  // of a bag at once: what is summed stays in the first cache

TRN_INLINE int64_t integer(const Operand& o, int64_t i) {
  return o.dtype == DType::i32 ? o.as<int32_t>()[i] : o.as<int64_t>()[i];
}
TRN_INLINE void set_integer(const Operand& o, int64_t i, int64_t x) {
  if (o.dtype == DType::i32) o.as<int32_t>()[i] = static_cast<int32_t>(x);
  else o.as<int64_t>()[i] = x;
}

// n elements of a row from column `from` in type A: where they lie, or converted into `buffer`.
template <class A>
TRN_INLINE const A* columns(const Operand& table, int64_t row, int64_t from, int64_t n, A* buffer) {
  const int64_t at = row * table.strides[0] + from * table.strides[1];
  if (table.dtype == DTypeOf<A>::value && table.strides[1] == 1) return table.as<A>() + at;
  convert_run(buffer, DTypeOf<A>::value, 1, table.as<char>() + at * dtype_size(table.dtype),
              table.dtype, table.strides[1], n);
  return buffer;
}

struct Bag {
  int64_t begin, end, size;  // places in the index list; rows that are not padding
};

// operands: out [bags, width], offset2bag [indices], bag_size [bags], max_indices [bags, width] or
// absent; weight [rows, width] of any strides; indices, offsets, sample weights or absent; all
// others dense. ints: mode, padding index. Items are bags.
template <class A>
struct EmbeddingBag {
  const Operand &out, &offset2bag, &bag_size, &max_indices, &weight, &indices, &offsets, &samples;
  int64_t mode, padding;
  A *sum, *buffer;

  TRN_INLINE EmbeddingBag(const Call& c, char* scratch)
      : out(c.operand[0]),
        offset2bag(c.operand[1]),
        bag_size(c.operand[2]),
        max_indices(c.operand[3]),
        weight(c.operand[4]),
        indices(c.operand[5]),
        offsets(c.operand[6]),
        samples(c.operand[7]),
        mode(c.ints[0]),
        padding(c.ints[1]),
        sum(reinterpret_cast<A*>(scratch)),
        buffer(sum + kColumns) {}

  // The bag, its entries marked and counted; what lies outside the table is reported.
  TRN_INLINE Bag open(int64_t b, Fault* fault) const {
    const int64_t n = indices.sizes[0];
    Bag bag{b ? integer(offsets, b) : 0, b + 1 < out.sizes[0] ? integer(offsets, b + 1) : n, 0};
    if (bag.begin < 0 || bag.end > n || bag.end < bag.begin) {
      fault->report(FaultKind::index_out_of_range, bag.end, n);
      bag.begin = bag.end = 0;
    }
    for (int64_t i = bag.begin; i < bag.end; ++i) {
      const int64_t row = integer(indices, i);
      set_integer(offset2bag, i, b);
      bag.size += row != padding;
      if (row < 0 || row >= weight.sizes[0])
        fault->report(FaultKind::index_out_of_range, row, weight.sizes[0]);
    }
    set_integer(bag_size, b, bag.size);
    return bag;
  }
  TRN_INLINE bool skips(int64_t row) const {
    return row == padding || row < 0 || row >= weight.sizes[0];
  }

  // Rows to come: the processor's own prefetching does not know where they are.
  static constexpr int64_t kAhead = 4;
  TRN_INLINE void fetch_row(int64_t row, int64_t from, int64_t n) const {
    const int64_t size = dtype_size(weight.dtype);
    const char* at =
        weight.as<char>() + (row * weight.strides[0] + from * weight.strides[1]) * size;
    for (int64_t k = 0; k < n * size; k += 64) __builtin_prefetch(at + k);
  }

  TRN_INLINE void add_row(int64_t row, int64_t from, int64_t n, A scale) const {
    const int64_t at = row * weight.strides[0] + from * weight.strides[1];
    const auto take = [&](const auto* x) {
#pragma GCC ivdep
      for (int64_t j = 0; j < n; ++j) sum[j] += scale * static_cast<A>(x[j]);
    };
    if (weight.strides[1] == 1 && weight.dtype == DType::bf16) take(weight.as<bf16_t>() + at);
    else if (weight.strides[1] == 1 && weight.dtype == DType::f16) take(weight.as<f16_t>() + at);
    else take(columns(weight, row, from, n, buffer));
  }

  TRN_INLINE void add(const Bag& bag, int64_t from, int64_t n) const {
    for (int64_t j = 0; j < n; ++j) sum[j] = 0;
    for (int64_t i = bag.begin; i < bag.end; ++i) {
      const int64_t row = integer(indices, i);
      if (i + kAhead < bag.end) fetch_row(integer(indices, i + kAhead), from, n);
      if (skips(row)) continue;
      A scale = 1;
      if (!samples.absent())
        convert_run(&scale, DTypeOf<A>::value, 1,
                    samples.as<char>() + i * samples.strides[0] * dtype_size(samples.dtype),
                    samples.dtype, 1, 1);
      add_row(row, from, n, scale);
    }
    if (mode == kMean && bag.size > 0)
      for (int64_t j = 0; j < n; ++j) sum[j] /= static_cast<A>(bag.size);
  }

  TRN_INLINE void greatest(const Bag& bag, int64_t b, int64_t from, int64_t n) const {
    const int64_t at = b * out.sizes[1] + from;
    for (int64_t j = 0; j < n; ++j) {
      sum[j] = 0;
      set_integer(max_indices, at + j, -1);
    }
    bool first = true;
    for (int64_t i = bag.begin; i < bag.end; ++i) {
      const int64_t row = integer(indices, i);
      if (skips(row)) continue;
      const A* x = columns(weight, row, from, n, buffer);
      for (int64_t j = 0; j < n; ++j)
        if (first || x[j] > sum[j]) {
          sum[j] = x[j];
          set_integer(max_indices, at + j, row);
        }
      first = false;
    }
  }
};

template <class A>
void embedding_bag(const Call& call, const Range& range) {
  const EmbeddingBag<A> e(call, range.scratch);
  const int64_t width = e.out.sizes[1];
  for (int64_t b = range.begin; b < range.end; ++b) {
    const Bag bag = e.open(b, range.fault);
    for (int64_t from = 0; from < width; from += kColumns) {
      const int64_t n = width - from < kColumns ? width - from : kColumns;
      if (e.mode == kMax) e.greatest(bag, b, from, n);
      else e.add(bag, from, n);
      convert_run(e.out.template as<char>() + (b * width + from) * dtype_size(e.out.dtype),
                  e.out.dtype, 1, e.sum, DTypeOf<A>::value, 1, n);
    }
  }
}

// operands: out [n]; grad [bags, width], weight [rows, width], indices [n], offset2bag [n]. The
// product of an entry's row with its bag's gradient; 0 for padding. ints: padding index. Items
// are entries.
template <class A>
void embedding_bag_samples(const Call& call, const Range& range) {
  const Operand &out = call.operand[0], &grad = call.operand[1], &weight = call.operand[2];
  A* first = reinterpret_cast<A*>(range.scratch);
  for (int64_t i = range.begin; i < range.end; ++i) {
    const int64_t row = integer(call.operand[3], i), bag = integer(call.operand[4], i);
    A sum = 0;
    const bool inside = row >= 0 && row < weight.sizes[0] && bag >= 0 && bag < grad.sizes[0];
    for (int64_t from = 0; from < grad.sizes[1] && inside && row != call.ints[0];
         from += kColumns) {
      const int64_t n = grad.sizes[1] - from < kColumns ? grad.sizes[1] - from : kColumns;
      const A* g = columns(grad, bag, from, n, first);
      const A* x = columns(weight, row, from, n, first + kColumns);
      for (int64_t j = 0; j < n; ++j) sum += g[j] * x[j];
    }
    convert_run(out.as<char>() + i * dtype_size(out.dtype), out.dtype, 1, &sum, DTypeOf<A>::value,
                1, 1);
  }
}

TRN_REGISTER_REALS(embedding_bag);
TRN_REGISTER_REALS(embedding_bag_samples);

}  // namespace
}  // namespace trn
