// Reading through indices: index, gather, index_select, take.
//
// All of them are one kernel, because the operator lays them out alike: every operand has the shape
// of the iteration, and the indexed tensor has stride 0 along the dimensions that an index chooses.
// Elements that are only moved are moved by their size.
#include "indexing.h"
#include "move.h"

namespace trn {
namespace {

// A row of elements that one index each chooses. A function of its own: its loop needs all
// registers, and few where everything lies dense.
template <class U>
__attribute__((noinline)) void read_row(U* to, int64_t to_step, const U* from, int64_t from_step,
                                        const Operand& index, int64_t offset, int64_t step,
                                        int64_t run, bool wrap, const int64_t* sizes,
                                        const Range& range) {
  if (to_step == 1 && from_step == 0 && step == 1 && sizes[1] == 1 && !wrap) {
    const int64_t dense[] = {sizes[0], 1};
    return each_chosen(index, offset, 1, run, false, dense, range,
                       [=](int64_t k, int64_t place) { to[k] = place < 0 ? U{} : from[place]; });
  }
  each_chosen(index, offset, step, run, wrap, sizes, range, [=](int64_t k, int64_t place) {
    to[k * to_step] = place < 0 ? U{} : from[k * from_step + place];
  });
}

// Dense rows that one index each chooses, `n` of them. Those to come are fetched: the processor's
// own prefetching does not know where they are.
template <class U>
void read_rows(const Call& call, const Walk& w, U* to, const U* self, int64_t n, bool wrap,
               const Range& range) {
  constexpr int64_t kAhead = 4, kMost = 2048, kSize = sizeof(U);
  const int64_t *sizes = call.ints + 1, bytes = w.run() * kSize;
  const Operand& index = call.operand[2];
  const auto row = [&](int64_t r) { return self + w.offset[1] + r * w.row_step(1); };
  for (int64_t r = 0; r < n; ++r) {
    const int64_t at = w.offset[2] + r * w.row_step(2), offsets[] = {0, 0, at};
    if (r + kAhead < n) {
      const U* next = row(r + kAhead) + index_at(index, at + kAhead * w.row_step(2)) * sizes[1];
      for (int64_t k = 0; k < bytes && k < kMost; k += 64)
        __builtin_prefetch(reinterpret_cast<const char*>(next) + k);
    }
    const int64_t place = chosen(call, offsets, 2, 3, wrap, sizes, range);
    char* out = reinterpret_cast<char*>(to + r * w.row_step(0));
    if (place < 0) __builtin_memset(out, 0, bytes);
    else copy_bytes(out, reinterpret_cast<const char*>(row(r) + place), bytes);
  }
}

// --- out = self[indices...] ----------------------------------------------------------------------
// operands: out, self, index tensors. ints: whether negative indices wrap, then the size and the
// element stride of the dimension that each index is for. Items are elements.
template <class U>
void index(const Call& call, const Range& range) {
  const int n = call.noperands;
  const bool wrap = call.ints[0];
  const int64_t* sizes = call.ints + 1;
  U* out = call.operand[0].as<U>();
  const U* self = call.operand[1].as<U>();
  for (Walk w(call, call.operand[0], n, range.begin, range.end); w.left > 0;) {
    const int64_t run = w.run(), to_step = w.step(0), from_step = w.step(1);
    U* to = out + w.offset[0];
    const bool constant = constant_along_row(w, 2, n);
    if (const int64_t rows = w.rows();
        constant && n == 3 && to_step == 1 && from_step == 1 && rows) {
      read_rows(call, w, to, self, rows, wrap, range);
      w.advance_rows(rows);
      continue;
    }
    if (constant) {
      const int64_t place = chosen(call, w.offset, 2, n, wrap, sizes, range);
      const U* from = self + w.offset[1] + place;
      if (place < 0) {
        for (int64_t k = 0; k < run; ++k) to[k * to_step] = U{};
      } else if (to_step == 1 && from_step == 1) {
        copy_bytes(to, from, run * static_cast<int64_t>(sizeof(U)));
      } else {
        for (int64_t k = 0; k < run; ++k) to[k * to_step] = from[k * from_step];
      }
    } else if (n == 3) {
      fetch_choices(call.operand[1], self + w.offset[1], run, sizes);
      read_row(to, to_step, self + w.offset[1], from_step, call.operand[2], w.offset[2], w.step(2),
               run, wrap, sizes, range);
    } else {
      int64_t at[kMaxOperands];
      for (int j = 2; j < n; ++j) at[j] = w.offset[j];
      for (int64_t k = 0; k < run; ++k) {
        const int64_t place = chosen(call, at, 2, n, wrap, sizes, range);
        to[k * to_step] = place < 0 ? U{} : self[w.offset[1] + k * from_step + place];
        for (int j = 2; j < n; ++j) at[j] += w.step(j);
      }
    }
    w.advance(run);
  }
}

TRN_REGISTER_BY_SIZE(index);

}  // namespace
}  // namespace trn
