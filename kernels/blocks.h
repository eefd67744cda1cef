// The element-wise engine: walks N-d operands in dense blocks of one compute type.
//
// An element-wise kernel is a loop over dense arrays of its compute type. The engine brings every
// operand into that form, kBlock elements at a time: memory that is dense and of the type already
// is used where it lies; anything else (another type, a stride, a broadcast, an immediate) is
// loaded and converted into a buffer that stays in the first-level cache. Outputs go the same way
// back. So no kernel is written twice for types or strides, and every loop vectorises.
#pragma once

#include "convert.h"

namespace trn {

inline constexpr int64_t kBlock = 512;  // 512 f64 of three operands and a result: 16 KiB of L1

// Computes n elements: out[i] = f(in[0][i], in[1][i], ...). Scalars come from the call.
using BlockLoop = void (*)(void* out, const void* const* in, int64_t n, const Call& call);

// An element-wise kernel: operand 0 is the output, the others are `arity` inputs of compute type
// `in`; the loop makes values of type `out`. `bf16`, if there is one, is the loop over operands
// that all are bf16 (or bool), which it converts on the way.
struct Map {
  BlockLoop loop;
  DType in, out;
  int arity;
  BlockLoop bf16 = nullptr;
};

namespace TRN_ISA_NAMESPACE {

// dst[i * dst_stride] = src[i * src_stride], converted as PyTorch converts.
void convert_run(void* dst, DType dst_type, int64_t dst_stride, const void* src, DType src_type,
                 int64_t src_stride, int64_t n);

// Runs a map over items [range.begin, range.end) of the operands' common shape.
void run_map(const Map& map, const Call& call, const Range& range);

}  // namespace TRN_ISA_NAMESPACE

// Scalar k of a call in type T: integers from ints[k], others from reals[2k] and reals[2k + 1].
template <class T>
TRN_INLINE T param(const Call& call, int k) {
  if constexpr (__is_same(T, c64_t) || __is_same(T, c128_t)) {
    using R = decltype(T::re);
    return T(static_cast<R>(call.reals[2 * k]), static_cast<R>(call.reals[2 * k + 1]));
  } else if constexpr (__is_same(T, float) || __is_same(T, double)) {
    return static_cast<T>(call.reals[2 * k]);
  } else {
    return static_cast<T>(call.ints[k]);
  }
}

}  // namespace trn
