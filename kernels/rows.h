// Dense runs of operands as numbers of a kernel's own type, and sums over them.
#pragma once

#include "blocks.h"
#include "fold.h"

namespace trn {
namespace {

// n neighbours from element `at` on: in place where they are of type A already, else in the buffer.
template <class A>
TRN_INLINE const A* load(const Operand& o, int64_t at, int64_t n, A* buffer) {
  char* from = o.as<char>() + at * dtype_size(o.dtype);
  if (o.dtype == DTypeOf<A>::value) return reinterpret_cast<A*>(from);
  TRN_ISA_NAMESPACE::convert_run(buffer, DTypeOf<A>::value, 1, from, o.dtype, 1, n);
  return buffer;
}
// Has n neighbours from element `at` on fetched, for a pass that comes to read them next, or to
// write them: the processor's own prefetching ends with a page. They need not exist.
template <bool write = false>
TRN_INLINE void fetch(const Operand& o, int64_t at, int64_t n) {
  const int64_t size = dtype_size(o.dtype);
  const char* from = o.as<char>() + at * size;
  for (int64_t i = 0; i < n * size; i += 64) __builtin_prefetch(from + i, write);
}
template <class A>
TRN_INLINE void store(const Operand& o, int64_t at, int64_t n, const A* x) {
  char* to = o.as<char>() + at * dtype_size(o.dtype);
  if (to == reinterpret_cast<const char*>(x)) return;
  TRN_ISA_NAMESPACE::convert_run(to, o.dtype, 1, x, DTypeOf<A>::value, 1, n);
}
// Where to write what store() then need not move.
template <class A>
TRN_INLINE A* place(const Operand& o, int64_t at, A* buffer) {
  return o.dtype == DTypeOf<A>::value ? o.as<A>() + at : buffer;
}

// Element `index` of a vector as double.
TRN_INLINE double get(const Operand& o, int64_t index) {
  double x;
  TRN_ISA_NAMESPACE::convert_run(&x, DType::f64, 1, o.as<char>() + index * dtype_size(o.dtype),
                                 o.dtype, 1, 1);
  return x;
}
TRN_INLINE void set(const Operand& o, int64_t index, double x) {
  TRN_ISA_NAMESPACE::convert_run(o.as<char>() + index * dtype_size(o.dtype), o.dtype, 1, &x,
                                 DType::f64, 1, 1);
}

template <class A, class T>
TRN_INLINE double sum_of(int64_t n, T term) {
  return static_cast<double>(fold<A>(n, A(0), term, [](A a, A b) { return a + b; }));
}

template <class F>
TRN_INLINE void by_blocks(int64_t length, F f) {
  for (int64_t i = 0; i < length; i += kBlock) f(i, length - i < kBlock ? length - i : kBlock);
}

}  // namespace
}  // namespace trn
