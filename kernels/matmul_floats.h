// Blocked products one element of k at a time, in float for halves.
#pragma once

#include "matmul_thin.h"

// TRN_REGISTER_FLOATS, but for bfloat16 where <family>_avx512_dot.cpp takes it.
#define TRN_REGISTER_FLOATS_BUT_DOT(name, fn)               \
  TRN_REGISTER(#name, ::trn::DType::f32, fn<float>);        \
  TRN_REGISTER(#name, ::trn::DType::f64, fn<double>);       \
  TRN_REGISTER(#name, ::trn::DType::f16, fn<::trn::f16_t>); \
  TRN_REGISTER_IF(TRN_NO_DOT, #name, ::trn::DType::bf16, fn<::trn::bf16_t>)

namespace trn {
namespace {

template <class S>
struct FloatMath {
  using Source = S;
  using Unit = acc_t<S>;
  using Sum = Unit;
  using Result = S;
  using V = typename Vec<Unit>::Type;
  static constexpr int64_t kPer = 1;
  static constexpr bool kSettled = false, kDirect = __is_same(S, Unit);
  static constexpr int kLanes = Vec<Unit>::kLanes;

  TRN_INLINE static V along(const S* p, int64_t n) {
    if (n >= kLanes) return Thin<S, Unit>::load(p);
    V v{};
    for (int64_t i = 0; i < n; ++i) v[i] = static_cast<Unit>(p[i]);
    return v;
  }
  TRN_INLINE static V across(const S* p, int64_t, int64_t n, int64_t) { return along(p, n); }
  TRN_INLINE static void across_strip(Unit* to, const S* p, int64_t, int64_t) {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v)
      *reinterpret_cast<V*>(to + v * kLanes) = Thin<S, Unit>::load(p + v * kLanes);
  }
  TRN_INLINE static Unit gather(const S* p, int64_t, int64_t) { return static_cast<Unit>(*p); }
  TRN_INLINE static V row_of(V row) { return row; }
  TRN_INLINE static V multiply(V sum, V row, Unit x) { return sum + row * x; }
  template <int vectors>
  TRN_INLINE static void store(S* to, const V (&sums)[vectors], int64_t n) {
#pragma GCC unroll 2
    for (int v = 0; v < vectors; ++v, n -= kLanes, to += kLanes) {
      if (n >= kLanes) {
        *reinterpret_cast<V*>(to) = sums[v];
      } else {
        for (int i = 0; i < kLanes; ++i)
          if (i < n) to[i] = sums[v][i];
      }
    }
  }
  TRN_INLINE static void finish(const Problem& p, Sum* sums, int64_t row, int64_t column, int64_t n,
                                Sum* buffer) {
    write_row<Sum>(p, sums, row, column, n, false, buffer);
  }
};

}  // namespace
}  // namespace trn
