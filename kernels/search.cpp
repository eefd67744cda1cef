// Searching sorted sequences, and finding what is unique in rows.
#include "order.h"

namespace trn {
namespace {

// Where values would be inserted. operands: out (i64 or i32) [lines, m], boundaries [lines or 1,
// n], values [lines, m], sorter (i64, like boundaries) or absent; dense. ints[0]: right. Items are
// values. Comparisons are PyTorch's, NaN among the boundaries included.
template <class T>
void searchsorted(const Call& call, const Range& range) {
  const Operand &out = call.operand[0], &bounds = call.operand[1], &values = call.operand[2],
                &sorter = call.operand[3];
  const int64_t m = values.sizes[1], n = bounds.sizes[1];
  const bool right = call.ints[0];
  for (int64_t i = range.begin; i < range.end; ++i) {
    const int64_t base = bounds.sizes[0] == 1 ? 0 : i / m * n;
    const T value = values.as<T>()[i];
    int64_t low = 0, high = n;
    while (low < high) {
      const int64_t middle = (low + high) / 2;
      const int64_t at = sorter.absent() ? middle : sorter.as<int64_t>()[base + middle];
      const T b = bounds.as<T>()[base + at];
      const bool below = right ? !(b > value) : !(b >= value);
      if (below) low = middle + 1;
      else high = middle;
    }
    if (out.dtype == DType::i32) out.as<int32_t>()[i] = static_cast<int32_t>(low);
    else out.as<int64_t>()[i] = low;
  }
}

// Marks rows that differ from the one before. operands: flags (i64) [n], values [n, m] dense.
template <class T>
void mark_changes(const Call& call, const Range& range) {
  const int64_t m = call.operand[1].sizes[1];
  for (int64_t i = range.begin; i < range.end; ++i) {
    const T* row = call.operand[1].as<T>() + i * m;
    bool differs = i == 0;
    for (int64_t c = 0; c < m && !differs; ++c) differs = !(row[c] == row[c - m]);
    call.operand[0].as<int64_t>()[i] = differs;
  }
}

// The stable order of rows by their first element, then the second, ... operands: order (i64)
// [2, n], of which the first half is the result, values [n, m] dense. One item.
template <class T>
void order_rows(const Call& call, const Range& range) {
  if (range.begin) return;
  const int64_t n = call.operand[1].sizes[0], m = call.operand[1].sizes[1];
  const T* v = call.operand[1].as<T>();
  const auto before = [&](int64_t a, int64_t b) {
    for (int64_t c = 0; c < m; ++c) {
      const auto x = key_of<T>(v[a * m + c]), y = key_of<T>(v[b * m + c]);
      if (x != y) return x < y;
    }
    return false;
  };
  int64_t *a = call.operand[0].as<int64_t>(), *b = a + n;
  for (int64_t k = 0; k < n; ++k) a[k] = k;
  for (int64_t width = 1; width < n; width *= 2) {
    for (int64_t begin = 0; begin < n; begin += 2 * width) {
      const int64_t middle = begin + width < n ? begin + width : n;
      const int64_t end = middle + width < n ? middle + width : n;
      int64_t i = begin, j = middle;
      for (int64_t k = begin; k < end; ++k)
        b[k] = i < middle && (j == end || !before(a[j], a[i])) ? a[i++] : a[j++];
    }
    int64_t* t = a;
    a = b;
    b = t;
  }
  if (a != call.operand[0].as<int64_t>()) __builtin_memcpy(b, a, n * sizeof(int64_t));
}

// Whether elements are among a few others. operands: out (bool) [n], elements [n], others [m],
// dense. ints[0]: the opposite is asked for.
template <class T>
void isin(const Call& call, const Range& range) {
  const int64_t m = call.operand[2].sizes[0];
  const T *x = call.operand[1].as<T>(), *others = call.operand[2].as<T>();
  const bool invert = call.ints[0];
  for (int64_t i = range.begin; i < range.end; ++i) {
    bool found = false;
    for (int64_t k = 0; k < m && !found; ++k) found = x[i] == others[k];
    call.operand[0].as<bool>()[i] = found != invert;
  }
}

TRN_REGISTER_ORDERED(searchsorted);
TRN_REGISTER_ORDERED(mark_changes);
TRN_REGISTER_ORDERED(order_rows);
TRN_REGISTER_ORDERED(isin);

}  // namespace
}  // namespace trn
