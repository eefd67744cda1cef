// Matrix products of integers, and of complex numbers where they are few: same operands as
// matmul.cpp. One item is one row of C.
#include "blocks.h"
#include "complex.h"

namespace trn {
namespace {

// clang-format off
template <class T> struct Bytes { using type = T; };
template <> struct Bytes<bool> { using type = uint8_t; };
// clang-format on
template <class T>
using bytes_as = typename Bytes<T>::type;

template <class T>
TRN_INLINE T scalar_of(const Call& call, int k) {
  if constexpr (__is_same(T, c64_t) || __is_same(T, c128_t)) return param<T>(call, k);
  else return static_cast<T>(call.ints[k]);
}

// Of complex numbers, and the plain form of any. ints or reals: alpha and beta, as param() has
// them.
template <class T>
void matmul_rows(const Call& call, const Range& range) {
  const Operand &c = call.operand[0], &a = call.operand[1], &b = call.operand[2],
                &d = call.operand[3];
  const int64_t m = c.sizes[1], n = c.sizes[2], k = a.sizes[2];
  const T alpha = scalar_of<T>(call, 0), beta = scalar_of<T>(call, 1);
  for (int64_t item = range.begin; item < range.end; ++item) {
    const int64_t batch = item / m, i = item % m;
    T* out = c.as<T>() + batch * c.strides[0] + i * c.strides[1];
    const T* left = a.as<T>() + batch * a.strides[0] + i * a.strides[1];
    for (int64_t j = 0; j < n; ++j) {
      const T* right = b.as<T>() + batch * b.strides[0] + j * b.strides[2];
      T sum = T(0);
      for (int64_t q = 0; q < k; ++q)
        sum = static_cast<T>(sum + left[q * a.strides[2]] * right[q * b.strides[1]]);
      sum = static_cast<T>(alpha * sum);
      if (beta != T(0) && !d.absent())
        sum = static_cast<T>(
            sum + beta * d.as<T>()[batch * d.strides[0] + i * d.strides[1] + j * d.strides[2]]);
      out[j * c.strides[2]] = sum;
    }
  }
}

// A tile of kRows rows and kColumns columns, whose sums stay in registers, at a time: the columns
// of B pass by dense, in a copy in scratch where they are not, or where too few of them are left.
template <class T>
struct Tile {
  // A sum of bools is whether there is one.
  static constexpr bool kBool = __is_same(T, bool);
  using U = bytes_as<T>;
  typedef U V __attribute__((vector_size(kVectorBytes), aligned(sizeof(T)), may_alias));
  static constexpr int kVectors = kVectorBytes == 64 ? 4 : 2, kRows = 4;
  static constexpr int kWidth = kVectorBytes / sizeof(T), kColumns = kVectors * kWidth;

  static int64_t most_depth() { return kScratchBytes / (kColumns * static_cast<int>(sizeof(T))); }

  // sums[r][j] = left[r] . column j of right, over k products.
  static void multiply(const T* const* left, int64_t left_step, const T* right, int64_t right_step,
                       int64_t k, T (*sums)[kColumns]) {
    V sum[kRows][kVectors] = {};
    for (int64_t q = 0; q < k; ++q) {
      const V* b = reinterpret_cast<const V*>(right + q * right_step);
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r) {
        const U a = static_cast<U>(left[r][q * left_step]);
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) {
          if constexpr (kBool) sum[r][v] |= b[v] & a;
          else sum[r][v] += b[v] * a;
        }
      }
    }
    __builtin_memcpy(sums, sum, sizeof(sum));
  }

  // n <= kColumns columns from `right` on, zeros beside them.
  static void copy(T* to, const T* right, int64_t down, int64_t across, int64_t k, int64_t n) {
    for (int64_t q = 0; q < k; ++q, to += kColumns) {
      for (int64_t j = 0; j < n; ++j) to[j] = right[q * down + j * across];
      for (int64_t j = n; j < kColumns; ++j) to[j] = T(0);
    }
  }
};

// ints: alpha and beta.
template <class T>
void matmul_tiles(const Call& call, const Range& range) {
  using X = Tile<T>;
  const Operand &c = call.operand[0], &a = call.operand[1], &b = call.operand[2],
                &d = call.operand[3];
  const int64_t m = c.sizes[1], n = c.sizes[2], k = a.sizes[2];
  if (k > X::most_depth() || n < X::kWidth / 2) return matmul_rows<T>(call, range);
  const T alpha = scalar_of<T>(call, 0), beta = scalar_of<T>(call, 1);
  const bool adds = beta != T(0) && !d.absent();
  T* panel = reinterpret_cast<T*>(range.scratch);
  T sums[X::kRows][X::kColumns];
  for (int64_t item = range.begin; item < range.end;) {
    const int64_t batch = item / m, first = item % m;
    const int64_t rows = m - first < range.end - item ? m - first : range.end - item;
    const T* left[X::kRows];
    for (int64_t j0 = 0; j0 < n; j0 += X::kColumns) {
      const int64_t columns = n - j0 < X::kColumns ? n - j0 : X::kColumns;
      const T* right = b.as<T>() + batch * b.strides[0] + j0 * b.strides[2];
      const bool lies = b.strides[2] == 1 && columns == X::kColumns;
      if (!lies) X::copy(panel, right, b.strides[1], b.strides[2], k, columns);
      for (int64_t i0 = first; i0 < first + rows; i0 += X::kRows) {
        const int64_t height = first + rows - i0 < X::kRows ? first + rows - i0 : X::kRows;
        for (int64_t r = 0; r < X::kRows; ++r)
          left[r] = a.as<T>() + batch * a.strides[0] +
                    (i0 + (r < height ? r : height - 1)) * a.strides[1];
        X::multiply(left, a.strides[2], lies ? right : panel, lies ? b.strides[1] : X::kColumns, k,
                    sums);
        for (int64_t r = 0; r < height; ++r) {
          T* out = c.as<T>() + batch * c.strides[0] + (i0 + r) * c.strides[1] + j0 * c.strides[2];
          const T* add =
              d.as<T>() + batch * d.strides[0] + (i0 + r) * d.strides[1] + j0 * d.strides[2];
          for (int64_t j = 0; j < columns; ++j) {
            const T product = static_cast<T>(alpha * sums[r][j]);
            out[j * c.strides[2]] =
                adds ? static_cast<T>(product + beta * add[j * d.strides[2]]) : product;
          }
        }
      }
    }
    item += rows;
  }
}

// operands: C [1, m, n] of i32, A [1, m, k] and B [1, k, n] of i8, any strides. ints: rows and
// columns of an item, which is a tile of C.
void matmul_bytes(const Call& call, const Range& range) {
  const Operand &c = call.operand[0], &a = call.operand[1], &b = call.operand[2];
  const int64_t m = c.sizes[1], n = c.sizes[2], across = (n + call.ints[1] - 1) / call.ints[1];
  for (int64_t item = range.begin; item < range.end; ++item) {
    const int64_t m0 = item / across * call.ints[0], n0 = item % across * call.ints[1];
    for (int64_t i = m0; i < m && i < m0 + call.ints[0]; ++i)
      for (int64_t j = n0; j < n && j < n0 + call.ints[1]; ++j) {
        const int8_t *left = a.as<int8_t>() + i * a.strides[1],
                     *right = b.as<int8_t>() + j * b.strides[2];
        int32_t sum = 0;
        for (int64_t q = 0; q < a.sizes[2]; ++q)
          sum += left[q * a.strides[2]] * right[q * b.strides[1]];
        c.as<int32_t>()[i * c.strides[1] + j * c.strides[2]] = sum;
      }
  }
}

TRN_REGISTER_INTS(matmul, matmul_tiles);
TRN_REGISTER("matmul_bytes", DType::i8, matmul_bytes);
TRN_REGISTER_COMPLEX(matmul, matmul_rows);

}  // namespace
}  // namespace trn
