// Sorting lines, selecting the k largest, searching sorted sequences.
//
// Lines are dense copies made by the operator. Sorting is a stable merge of (value, index) pairs
// bottom up; NaN is larger than everything.
#include "blocks.h"

namespace trn {
namespace {

template <class T>
TRN_INLINE bool before(T a, T b, bool descending) {
  if (descending) return a != a ? b == b : a > b;
  return b != b ? a == a : a < b;
}

template <class T>
TRN_INLINE void merge(const T* v, const int64_t* i, T* vo, int64_t* io, int64_t begin, int64_t middle,
                      int64_t end, bool descending) {
  int64_t a = begin, b = middle;
  for (int64_t k = begin; k < end; ++k) {
    const bool right = a == middle || (b < end && before(v[b], v[a], descending));
    const int64_t from = right ? b++ : a++;
    vo[k] = v[from];
    io[k] = i[from];
  }
}

// operands: values, indices (i64), values2, indices2 (scratch), all [lines, n] dense; values holds
// the input. ints[0]: descending. The result lands in values and indices. Items are lines.
template <class T>
void sort(const Call& call, const Range& range) {
  const int64_t n = call.operand[0].sizes[1];
  const bool descending = call.ints[0];
  constexpr int64_t kRun = 16;
  for (int64_t l = range.begin; l < range.end; ++l) {
    T *v = call.operand[0].as<T>() + l * n, *v2 = call.operand[2].as<T>() + l * n;
    int64_t *x = call.operand[1].as<int64_t>() + l * n, *x2 = call.operand[3].as<int64_t>() + l * n;
    for (int64_t k = 0; k < n; ++k) x[k] = k;
    for (int64_t begin = 0; begin < n; begin += kRun) {  // insertion sort of short runs
      const int64_t end = begin + kRun < n ? begin + kRun : n;
      for (int64_t k = begin + 1; k < end; ++k) {
        const T value = v[k];
        const int64_t index = x[k];
        int64_t j = k;
        for (; j > begin && before(value, v[j - 1], descending); --j) {
          v[j] = v[j - 1];
          x[j] = x[j - 1];
        }
        v[j] = value;
        x[j] = index;
      }
    }
    bool swapped = false;
    for (int64_t width = kRun; width < n; width *= 2) {
      for (int64_t begin = 0; begin < n; begin += 2 * width) {
        const int64_t middle = begin + width < n ? begin + width : n;
        const int64_t end = begin + 2 * width < n ? begin + 2 * width : n;
        merge(v, x, v2, x2, begin, middle, end, descending);
      }
      T* tv = v;
      v = v2;
      v2 = tv;
      int64_t* tx = x;
      x = x2;
      x2 = tx;
      swapped = !swapped;
    }
    if (swapped) {
      __builtin_memcpy(v2, v, n * sizeof(T));
      __builtin_memcpy(x2, x, n * sizeof(int64_t));
    }
  }
}

// The k first in order, by a heap of k. operands: values [lines, k], indices [lines, k], in
// [lines, n], dense. ints[0]: largest. Results are in order. Items are lines.
template <class T>
void topk(const Call& call, const Range& range) {
  const Operand &values = call.operand[0], &in = call.operand[2];
  const int64_t k = values.sizes[1], n = in.sizes[1];
  const bool largest = call.ints[0];
  for (int64_t l = range.begin; l < range.end; ++l) {
    T* v = values.as<T>() + l * k;
    int64_t* x = call.operand[1].as<int64_t>() + l * k;
    const T* from = in.as<T>() + l * n;
    // Comes first in the result: by value, then by index.
    const auto first = [&](T a, int64_t ia, T b, int64_t ib) {
      return before(a, b, largest) || (!before(b, a, largest) && ia < ib);
    };
    const auto sink = [&](int64_t at, int64_t size) {  // the root is what leaves next
      for (;;) {
        int64_t child = 2 * at + 1;
        if (child >= size) return;
        if (child + 1 < size && first(v[child], x[child], v[child + 1], x[child + 1])) ++child;
        if (!first(v[at], x[at], v[child], x[child])) return;
        const T tv = v[at];
        v[at] = v[child];
        v[child] = tv;
        const int64_t tx = x[at];
        x[at] = x[child];
        x[child] = tx;
        at = child;
      }
    };
    for (int64_t i = 0; i < k; ++i) {
      v[i] = from[i];
      x[i] = i;
    }
    for (int64_t i = k / 2 - 1; i >= 0; --i) sink(i, k);
    for (int64_t i = k; i < n; ++i)
      if (k && first(from[i], i, v[0], x[0])) {
        v[0] = from[i];
        x[0] = i;
        sink(0, k);
      }
    for (int64_t size = k - 1; size > 0; --size) {
      const T tv = v[0];
      v[0] = v[size];
      v[size] = tv;
      const int64_t tx = x[0];
      x[0] = x[size];
      x[size] = tx;
      sink(0, size);
    }
  }
}

// Where values would be inserted. operands: out (i64 or i32) [lines, m], boundaries [lines or 1,
// n], values [lines, m], sorter (i64, like boundaries) or absent; dense. ints[0]: right. Items are
// values.
template <class T>
void searchsorted(const Call& call, const Range& range) {
  const Operand &out = call.operand[0], &bounds = call.operand[1], &values = call.operand[2],
                &sorter = call.operand[3];
  const int64_t m = values.sizes[1], n = bounds.sizes[1];
  const bool right = call.ints[0];
  for (int64_t i = range.begin; i < range.end; ++i) {
    const int64_t base = bounds.sizes[0] == 1 ? 0 : i / m * n;
    const T value = values.data ? values.as<T>()[i] : T();
    int64_t low = 0, high = n;
    while (low < high) {
      const int64_t middle = (low + high) / 2;
      const int64_t at = sorter.absent() ? middle : sorter.as<int64_t>()[base + middle];
      const T b = bounds.as<T>()[base + at];
      const bool below = right ? !before(value, b, false) : before(b, value, false);
      if (below) low = middle + 1;
      else high = middle;
    }
    if (out.dtype == DType::i32) out.as<int32_t>()[i] = static_cast<int32_t>(low);
    else out.as<int64_t>()[i] = low;
  }
}

// Marks elements of a sorted line that differ from the one before. operands: flags (i64), values.
template <class T>
void mark_changes(const Call& call, const Range& range) {
  const T* v = call.operand[1].as<T>();
  for (int64_t i = range.begin; i < range.end; ++i)
    call.operand[0].as<int64_t>()[i] = i == 0 || !(v[i] == v[i - 1]);
}

// Counts of values in [0, n). operands: counts, in (i64), weights (the kernel's type) or absent.
// One item: additions stay in order.
template <class T>
void bincount(const Call& call, const Range& range) {
  const Operand &out = call.operand[0], &in = call.operand[1], &weights = call.operand[2];
  if (range.begin) return;
  for (int64_t i = 0; i < in.numel(); ++i)
    out.as<T>()[in.as<int64_t>()[i]] += weights.absent() ? T(1) : weights.as<T>()[i];
}

#define TRN_SORTS(fn)                                            \
  TRN_REGISTER_FLOATS(fn, fn);                                   \
  TRN_REGISTER_INTS(fn, fn);                                     \
  TRN_REGISTER(#fn, DType::u16, fn<uint16_t>);                   \
  TRN_REGISTER(#fn, DType::u32, fn<uint32_t>);                   \
  TRN_REGISTER(#fn, DType::u64, fn<uint64_t>);
TRN_SORTS(sort) TRN_SORTS(topk) TRN_SORTS(searchsorted) TRN_SORTS(mark_changes)
TRN_REGISTER("bincount", DType::i64, bincount<int64_t>);
TRN_REGISTER("bincount", DType::f64, bincount<double>);
TRN_REGISTER("bincount", DType::f32, bincount<float>);

}  // namespace
}  // namespace trn
