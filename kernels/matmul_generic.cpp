// Matrix products of integers and complex numbers: plain loops, same operands as matmul.cpp. One
// item is one row of C.
#include "blocks.h"
#include "complex.h"

namespace trn {
namespace {

template <class T>
TRN_INLINE T scalar_of(const Call& call, int k) {
  if constexpr (__is_same(T, c64_t) || __is_same(T, c128_t)) return param<T>(call, k);
  else return static_cast<T>(call.ints[k]);
}

// ints or reals: alpha and beta, as param() has them.
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

TRN_REGISTER_INTS(matmul, matmul_rows);
TRN_REGISTER("matmul_bytes", DType::i8, matmul_bytes);
TRN_REGISTER_COMPLEX(matmul, matmul_rows);

}  // namespace
}  // namespace trn
