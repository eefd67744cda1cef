// Reading and writing through indices: index, gather, index_select, take; index_put, scatter,
// index_add, index_copy, index_fill, put.
//
// All of them are one of two kernels, because the operator lays them out alike: every operand has
// the shape of the iteration, and the indexed tensor has stride 0 along the dimensions that an
// index chooses. Elements that are only moved are moved by their size.
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
template <class T, class Apply>
__attribute__((noinline)) void write_row(T* to, int64_t to_step, const T* from, int64_t from_step,
                                         const Operand& index, int64_t offset, int64_t step,
                                         int64_t run, bool wrap, const int64_t* sizes,
                                         const Range& range, Apply apply) {
  if (to_step == 0 && from_step == 1 && step == 1 && sizes[1] == 1 && !wrap) {
    const int64_t dense[] = {sizes[0], 1};
    return each_chosen(index, offset, 1, run, false, dense, range, [=](int64_t k, int64_t place) {
      if (place >= 0) to[place] = apply(to[place], from[k]);
    });
  }
  each_chosen(index, offset, step, run, wrap, sizes, range, [=](int64_t k, int64_t place) {
    if (place < 0) return;
    T& x = to[k * to_step + place];
    x = apply(x, from[k * from_step]);
  });
}

// Has all of what the next row's indices choose from fetched, where that is a small row that most
// of them hit: at random they would wait for every line of it.
template <class T>
TRN_INLINE void fetch_choices(const Operand& o, const T* row, int64_t run, const int64_t* sizes) {
  constexpr int64_t kLine = 64, kSmall = 16384, kSize = sizeof(T);
  const int64_t bytes = sizes[0] * sizes[1] * kSize;
  if (o.ndim < 2 || sizes[1] * kSize > kLine || bytes > kSmall || bytes > run * kLine) return;
  const char* next = reinterpret_cast<const char*>(row + o.strides[o.ndim - 2]);
  for (int64_t k = 0; k < bytes; k += kLine) __builtin_prefetch(next + k);
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
        __builtin_memcpy(to, from, run * sizeof(U));
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

// --- self[indices...] (op)= value ----------------------------------------------------------------
// Several values may meet in one place; they get there in the order of the iteration, whatever
// the number of threads. So the places are divided, not the values. Where a dimension of the
// iteration is a dimension of the places too, ranges are entries of it. Where there is none (one
// long line), every range looks at all values and takes those for its own places.
//
// operands: self (updated in place), value (an immediate holds the bytes of one element), index
// tensors. ints[0]: the dimension that items are entries of, or -1 when items are owners of places;
// ints[1]: whether negative indices wrap; ints[2]: Reduction; ints[3]: an integer alpha;
// ints[4...]: sizes and strides as above. reals: alpha.
constexpr int kSizes = 4;

// Which of `owners` a place belongs to: whole cache lines, spread evenly.
TRN_INLINE int64_t owner_of(const void* place, int64_t owners) {
  const uint64_t line = reinterpret_cast<uintptr_t>(place) >> 6;
  const uint32_t hash = static_cast<uint32_t>(line * 0x9E3779B97F4A7C15ull >> 32);
  return static_cast<int64_t>(static_cast<uint64_t>(hash) * static_cast<uint64_t>(owners) >> 32);
}

template <class T, class Apply>
TRN_INLINE void write(const Call& call, const Range& range, Apply apply) {
  const Operand& shape = call.operand[0];
  const int n = call.noperands;
  const int64_t split = call.ints[0];
  const bool wrap = call.ints[1];
  const int64_t* sizes = call.ints + kSizes;
  int64_t total = shape.numel();
  if (split >= 0) total = total / shape.sizes[split] * (range.end - range.begin);
  const bool all = split >= 0 || range.end - range.begin == call.work;
  const auto owned = [&](const T* place) {
    const int64_t owner = owner_of(place, call.work);
    return owner >= range.begin && owner < range.end;
  };
  T* self = shape.as<T>();
  const T* value = call.operand[1].data ? call.operand[1].as<T>()
                                        : reinterpret_cast<const T*>(&call.operand[1].value);
  for (Walk w(call, shape, n, 0, total, split, range.begin, range.end); w.left > 0;) {
    const int64_t run = w.run(), to_step = w.step(0), from_step = w.step(1);
    const T* from = value + w.offset[1];
    if (constant_along_row(w, 2, n)) {
      const int64_t place = chosen(call, w.offset, 2, n, wrap, sizes, range);
      T* to = self + w.offset[0] + place;
      if (place >= 0 && (all || owned(to))) {
        if (to_step == 1 && from_step == 1) {
#pragma GCC ivdep
          for (int64_t k = 0; k < run; ++k) to[k] = apply(to[k], from[k]);
        } else {
          for (int64_t k = 0; k < run; ++k)
            to[k * to_step] = apply(to[k * to_step], from[k * from_step]);
        }
      }
    } else if (n == 3 && all) {
      fetch_choices(shape, self + w.offset[0], run, sizes);
      write_row(self + w.offset[0], to_step, from, from_step, call.operand[2], w.offset[2],
                w.step(2), run, wrap, sizes, range, apply);
    } else {
      int64_t at[kMaxOperands];
      for (int j = 2; j < n; ++j) at[j] = w.offset[j];
      for (int64_t k = 0; k < run; ++k) {
        const int64_t place = chosen(call, at, 2, n, wrap, sizes, range);
        T* to = self + w.offset[0] + k * to_step + place;
        if (place >= 0 && (all || owned(to))) *to = apply(*to, from[k * from_step]);
        for (int j = 2; j < n; ++j) at[j] += w.step(j);
      }
    }
    w.advance(run);
  }
}

// Moves: the last value that meets a place stays.
template <class U>
void index_put(const Call& call, const Range& range) {
  write<U>(call, range, [](const U&, const U& value) { return value; });
}

// clang-format off
template <class T> inline constexpr bool is_complex = false;
template <class R> inline constexpr bool is_complex<complex_t<R>> = true;
// clang-format on

template <class T>
TRN_INLINE T plus(T a, T b) {
  if constexpr (is_complex<T>) return T(a.re + b.re, a.im + b.im);
  else if constexpr (__is_same(T, bool)) return a || b;
  else return static_cast<T>(static_cast<acc_t<T>>(a) + static_cast<acc_t<T>>(b));
}
template <class T>
TRN_INLINE T times(T a, T b) {
  if constexpr (is_complex<T>) return T(a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re);
  else if constexpr (__is_same(T, bool)) return a && b;
  else return static_cast<T>(static_cast<acc_t<T>>(a) * static_cast<acc_t<T>>(b));
}
// NaN is larger and smaller than everything.
template <class T>
TRN_INLINE T larger(T a, T b) {
  return a != a ? a : b != b || a < b ? b : a;
}
template <class T>
TRN_INLINE T smaller(T a, T b) {
  return a != a ? a : b != b || b < a ? b : a;
}

template <class T>
TRN_INLINE T alpha_of(const Call& call) {
  if constexpr (is_complex<T>) {
    using R = decltype(T::re);
    return T(static_cast<R>(call.reals[0]), static_cast<R>(call.reals[1]));
  } else if constexpr (__is_same(T, float) || __is_same(T, double)) {
    return static_cast<T>(call.reals[0]);
  } else {
    return static_cast<T>(call.ints[3]);
  }
}

enum Reduction : int64_t { kReplace, kSum, kProduct, kMaximum, kMinimum, kScaledSum };

template <class T>
void scatter(const Call& call, const Range& range) {
  switch (call.ints[2]) {
    case kSum: return write<T>(call, range, [](T a, T b) { return plus<T>(a, b); });
    case kProduct: return write<T>(call, range, [](T a, T b) { return times<T>(a, b); });
    case kScaledSum: {
      using Acc = acc_t<T>;
      const Acc alpha = alpha_of<Acc>(call);
      return write<T>(call, range, [alpha](T a, T b) {
        if constexpr (is_complex<T> || __is_same(T, bool)) return plus<T>(a, times<T>(alpha, b));
        else return static_cast<T>(static_cast<Acc>(a) + alpha * static_cast<Acc>(b));
      });
    }
    default: break;
  }
  if constexpr (!is_complex<T>) {
    if (call.ints[2] == kMaximum) write<T>(call, range, [](T a, T b) { return larger<T>(a, b); });
    else write<T>(call, range, [](T a, T b) { return smaller<T>(a, b); });
  }
}

TRN_REGISTER_BY_SIZE(index);
TRN_REGISTER_BY_SIZE(index_put);
TRN_REGISTER_ALL(scatter, scatter);
TRN_REGISTER("scatter", DType::u16, scatter<uint16_t>);
TRN_REGISTER("scatter", DType::u32, scatter<uint32_t>);
TRN_REGISTER("scatter", DType::u64, scatter<uint64_t>);

}  // namespace
}  // namespace trn
