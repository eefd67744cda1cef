// Writing through indices: index_put, scatter, index_add, index_copy, index_fill, put.
//
// All of them are one of two kernels, laid out as kernels/index.cpp has it: one moves elements, by
// their size, and one joins them with what is there.
#include "indexing.h"

namespace trn {
namespace {

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

// --- self[indices...] (op)= value ----------------------------------------------------------------
// Several values may meet in one place; they get there in the order of the iteration, whatever
// the number of threads. So the places are divided, not the values. Where a dimension of the
// iteration is a dimension of the places too, ranges are entries of it. Where there is none (one
// long line), or its entries are too narrow to be divided, every range looks at all indices and
// takes the rows, or elements, that are for its own places.
//
// operands: self (updated in place), value (an immediate holds the bytes of one element), index
// tensors. ints[0]: the dimension that items are entries of, or -1 when items are owners of places;
// ints[1]: whether negative indices wrap; ints[2]: Reduction; ints[3]: an integer alpha;
// ints[4...]: sizes and strides as above. reals: alpha.
constexpr int kSizes = 4;

// The owners of places that a range stands for.
struct Owners {
  uint64_t begin, owned, count;

  TRN_INLINE bool all() const { return owned == count; }
  // Whole cache lines have one owner, spread evenly.
  TRN_INLINE int64_t own(const void* place) const {
    const uint64_t line = reinterpret_cast<uintptr_t>(place) >> 6;
    const uint64_t hash = line * 0x9E3779B97F4A7C15ull >> 32;
    return (hash * count >> 32) - begin < owned ? 1 : 0;
  }
};

template <class T, class Apply>
TRN_INLINE void join_row(T* to, int64_t to_step, const T* from, int64_t from_step, int64_t length,
                         Apply apply) {
  if (to_step == 1 && from_step == 1) {
#pragma GCC ivdep
    for (int64_t k = 0; k < length; ++k) to[k] = apply(to[k], from[k]);
  } else if (to_step == 1 && from_step == 0) {
    const T x = from[0];
    for (int64_t k = 0; k < length; ++k) to[k] = apply(to[k], x);
  } else {
    for (int64_t k = 0; k < length; ++k)
      to[k * to_step] = apply(to[k * to_step], from[k * from_step]);
  }
}

// Where rows of `length` elements go to and come from, `count` of them, each chosen by an index.
template <class T>
struct Rows {
  T* to;
  const T* from;
  int64_t at;                        // of the index operand
  int64_t to_row, from_row, at_row;  // from row to row
  int64_t to_step, from_step;        // within one
  int64_t count, length;
};

// First lists the rows of a block that are for this range, without a branch, for which of them are
// is as good as random; then joins them, those to come being fetched.
template <class T, class Apply>
__attribute__((noinline)) void write_rows(const Rows<T> rows, const Operand& index, bool wrap,
                                          const int64_t* sizes, const Owners owners,
                                          const Range& range, Apply apply) {
  struct Pair {
    T* to;
    const T* from;
  };
  constexpr int64_t kList = 512, kAhead = 6, kMost = 1024, kSize = sizeof(T);
  Pair* const list = reinterpret_cast<Pair*>(range.scratch);
  for (int64_t first = 0; first < rows.count; first += kList) {
    const int64_t n = rows.count - first < kList ? rows.count - first : kList;
    Pair* end = list;
    T* to = rows.to + first * rows.to_row;
    const T* from = rows.from + first * rows.from_row;
    const int64_t to_row = rows.to_row, from_row = rows.from_row;
    each_chosen(index, rows.at + first * rows.at_row, rows.at_row, n, wrap, sizes, range,
                [&](int64_t, int64_t place) {
                  *end = {to + place, from};
                  end += static_cast<int64_t>(place >= 0) & owners.own(to + place);
                  to += to_row;
                  from += from_row;
                });
    if (rows.length == 1) {
      for (const Pair* p = list; p < end; ++p) *p->to = apply(*p->to, *p->from);
      continue;
    }
    const int64_t bytes = rows.length * kSize < kMost ? rows.length * kSize : kMost;
    for (const Pair* p = list; p < end; ++p) {
      const Pair& next = p + kAhead < end ? p[kAhead] : *p;
      for (int64_t b = 0; b < bytes; b += 64) {
        __builtin_prefetch(reinterpret_cast<const char*>(next.to) + b, 1);
        __builtin_prefetch(reinterpret_cast<const char*>(next.from) + b);
      }
      join_row(p->to, rows.to_step, p->from, rows.from_step, rows.length, apply);
    }
  }
}

// The only one of the indices [2, n) that moves along a row, and the place that the others choose:
// 0 where none moves, -1 where several do or an index is out of range.
TRN_INLINE int moving_index(const Call& call, const Walk& w, int n, bool wrap, const int64_t* sizes,
                            const Range& range, int64_t* place) {
  int moving = 0;
  *place = 0;
  for (int k = 2; k < n; ++k)
    if (w.step(k) != 0) {
      if (moving) return -1;
      moving = k;
    }
  for (int k = 2; k < n; ++k) {
    if (k == moving) continue;
    const int64_t at = chosen(call, w.offset, k, k + 1, wrap, sizes + 2 * (k - 2), range);
    if (at < 0) return -1;
    *place += at;
  }
  return moving;
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
  const auto items = [](int64_t n) { return static_cast<uint64_t>(n); };
  const Owners owners =
      split >= 0 ? Owners{0, 1, 1}
                 : Owners{items(range.begin), items(range.end - range.begin), items(call.work)};
  T* self = shape.as<T>();
  const T* value = call.operand[1].data ? call.operand[1].as<T>()
                                        : reinterpret_cast<const T*>(&call.operand[1].value);
  for (Walk w(call, shape, n, 0, total, split, range.begin, range.end); w.left > 0;) {
    const int64_t run = w.run(), to_step = w.step(0), from_step = w.step(1);
    T* to = self + w.offset[0];
    const T* from = value + w.offset[1];
    if (const int64_t r = w.rows(); r && n == 3 && w.step(2) == 0) {
      const Rows<T> rows{
          to,        from, w.offset[2], w.row_step(0), w.row_step(1), w.row_step(2), to_step,
          from_step, r,    run};
      write_rows(rows, call.operand[2], wrap, sizes, owners, range, apply);
      w.advance_rows(r);
      continue;
    }
    int64_t place;
    const int moving = moving_index(call, w, n, wrap, sizes, range, &place);
    if (moving == 0) {
      if (owners.own(to + place)) join_row(to + place, to_step, from, from_step, run, apply);
    } else if (moving > 0) {
      const int64_t* of = sizes + 2 * (moving - 2);
      const Operand& index = call.operand[moving];
      if (owners.all()) {
        if (n == 3) fetch_choices(shape, to, run, sizes);
        write_row(to + place, to_step, from, from_step, index, w.offset[moving], w.step(moving),
                  run, wrap, of, range, apply);
      } else {
        const Rows<T> rows{
            to + place, from, w.offset[moving], to_step, from_step, w.step(moving), 1, 1, run, 1};
        write_rows(rows, index, wrap, of, owners, range, apply);
      }
    } else {
      int64_t at[kMaxOperands];
      for (int j = 2; j < n; ++j) at[j] = w.offset[j];
      for (int64_t k = 0; k < run; ++k) {
        const int64_t place = chosen(call, at, 2, n, wrap, sizes, range);
        T* one = to + k * to_step + place;
        if (place >= 0 && owners.own(one)) *one = apply(*one, from[k * from_step]);
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
  return (a < b) | ((b != b) & (a == a)) ? b : a;
}
template <class T>
TRN_INLINE T smaller(T a, T b) {
  return (b < a) | ((b != b) & (a == a)) ? b : a;
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

TRN_REGISTER_BY_SIZE(index_put);
TRN_REGISTER_ALL(scatter, scatter);
TRN_REGISTER("scatter", DType::u16, scatter<uint16_t>);
TRN_REGISTER("scatter", DType::u32, scatter<uint32_t>);
TRN_REGISTER("scatter", DType::u64, scatter<uint64_t>);

}  // namespace
}  // namespace trn
