// What a row of the .def tables turns into: a loop and a registered kernel for each of its types.
#pragma once

#include <type_traits>

#include "blocks.h"
#include "wide.h"

namespace trn {
namespace {

#define TRN_TYPES_FLOAT(F, ...) F(f32, __VA_ARGS__) F(f64, __VA_ARGS__)
#define TRN_TYPES_BOOLEAN(F, ...) F(b8, __VA_ARGS__)
#define TRN_TYPES_INT(F, ...) \
  F(u8, __VA_ARGS__) F(i8, __VA_ARGS__) F(i16, __VA_ARGS__) F(i32, __VA_ARGS__) F(i64, __VA_ARGS__)
#define TRN_TYPES_INTB(F, ...) TRN_TYPES_INT(F, __VA_ARGS__) TRN_TYPES_BOOLEAN(F, __VA_ARGS__)
#define TRN_TYPES_REAL(F, ...) TRN_TYPES_FLOAT(F, __VA_ARGS__) TRN_TYPES_INT(F, __VA_ARGS__)
#define TRN_TYPES_REALB(F, ...) TRN_TYPES_REAL(F, __VA_ARGS__) TRN_TYPES_BOOLEAN(F, __VA_ARGS__)
#define TRN_TYPES_SELDOM(F, ...) F##_SELDOM(f32, __VA_ARGS__) F(f64, __VA_ARGS__)
#define TRN_TYPES_INT_SELDOM(F, ...) \
  F(u8, __VA_ARGS__)                 \
  F(i8, __VA_ARGS__) F(i16, __VA_ARGS__) F(i32, __VA_ARGS__) F##_SELDOM(i64, __VA_ARGS__)
#define TRN_TYPES_WIDE(F, ...) F##_WIDE(f32, __VA_ARGS__) F(f64, __VA_ARGS__)
#define TRN_TYPES_WIDE_INTB(F, ...) TRN_TYPES_WIDE(F, __VA_ARGS__) TRN_TYPES_INTB(F, __VA_ARGS__)
#define TRN_TYPES_COMPLEX(F, ...) F(c64, __VA_ARGS__) F(c128, __VA_ARGS__)
#define TRN_RESULT_SAME T
#define TRN_RESULT_BOOL bool

// `arity` inputs; those a row does not have alias the first, or the output of a row without any.
#define TRN_MAP_BODY(type, name, arity, result, ...)                                          \
  static void loop_##name##_##type(void* out, const void* const* in, int64_t n,               \
                                   const Call& call) {                                        \
    using T [[maybe_unused]] = StorageOf<DType::type>::type_;                                 \
    using R = TRN_RESULT_##result;                                                            \
    [[maybe_unused]] constexpr bool half = false, seldom = true;                              \
    R* o = static_cast<R*>(out);                                                              \
    [[maybe_unused]] const T* pa = static_cast<const T*>(arity > 0 ? in[0] : out);            \
    [[maybe_unused]] const T* pb = arity > 1 ? static_cast<const T*>(in[1]) : pa;             \
    [[maybe_unused]] const T* pc = arity > 2 ? static_cast<const T*>(in[2]) : pa;             \
    [[maybe_unused]] const T* pd = arity > 3 ? static_cast<const T*>(in[3]) : pa;             \
    [[maybe_unused]] const T p0 = param<T>(call, 0), p1 = param<T>(call, 1),                  \
                             p2 = param<T>(call, 2), p3 = param<T>(call, 3);                  \
    _Pragma("GCC ivdep") for (int64_t i = 0; i < n; ++i) {                                    \
      [[maybe_unused]] const T a = pa[i], b = pb[i], c = pc[i], d = pd[i];                    \
      o[i] = static_cast<R>(__VA_ARGS__);                                                     \
    }                                                                                         \
  }                                                                                           \
  static void run_##name##_##type(const Call& call, const Range& range) {                     \
    using T [[maybe_unused]] = StorageOf<DType::type>::type_;                                 \
    constexpr Map map{loop_##name##_##type, DType::type, DTypeOf<TRN_RESULT_##result>::value, \
                      arity};                                                                 \
    TRN_ISA_NAMESPACE::run_map(map, call, range);                                             \
  }                                                                                           \
  TRN_REGISTER(#name, DType::type, run_##name##_##type);

// The same in blocks: loops without the calls of seldom elements where there are none. Integers
// have one result either way, so that a block that has some goes their way whole.
#define TRN_MAP_BODY_SELDOM(type, name, arity, result, ...)                                    \
  static void loop_##name##_##type(void* out, const void* const* in, int64_t n, const Call&) { \
    constexpr int64_t kBlock = 256;                                                            \
    using T = StorageOf<DType::type>::type_;                                                   \
    T* o = static_cast<T*>(out);                                                               \
    const T* pa = static_cast<const T*>(in[0]);                                                \
    const T* pb = static_cast<const T*>(in[arity - 1]);                                        \
    const auto value =                                                                         \
        [](T a, [[maybe_unused]] T b, auto is_seldom) __attribute__((always_inline)) {         \
      [[maybe_unused]] constexpr bool seldom = is_seldom;                                      \
      return T(__VA_ARGS__);                                                                   \
    };                                                                                         \
    for (int64_t begin = 0; begin < n; begin += kBlock) {                                      \
      const int64_t end = n - begin < kBlock ? n : begin + kBlock;                             \
      int any = 0;                                                                             \
      for (int64_t i = begin; i < end; ++i) any |= seldom_##name(pa[i], pb[i]);                \
      if (any) {                                                                               \
        for (int64_t i = begin; i < end; ++i)                                                  \
          o[i] = std::is_integral_v<T> || seldom_##name(pa[i], pb[i])                          \
                     ? value(pa[i], pb[i], std::true_type{})                                   \
                     : value(pa[i], pb[i], std::false_type{});                                 \
      } else {                                                                                 \
        _Pragma("GCC ivdep") for (int64_t i = begin; i < end; ++i) o[i] =                      \
            value(pa[i], pb[i], std::false_type{});                                            \
      }                                                                                        \
    }                                                                                          \
  }                                                                                            \
  static void run_##name##_##type(const Call& call, const Range& range) {                      \
    constexpr Map map{loop_##name##_##type, DType::type, DType::type, arity};                  \
    TRN_ISA_NAMESPACE::run_map(map, call, range);                                              \
  }                                                                                            \
  TRN_REGISTER(#name, DType::type, run_##name##_##type);

// The same for f32 in Wides, and for bf16 where it lies.
#define TRN_MAP_BODY_WIDE(type, name, arity, result, ...)                                        \
  template <class S>                                                                             \
  static void wide_##name(void* out, const void* const* in, int64_t n, const Call& call) {       \
    using T = Wide;                                                                              \
    [[maybe_unused]] constexpr bool half = __is_same(S, bf16_t);                                 \
    [[maybe_unused]] const T p0(param<float>(call, 0)), p1(param<float>(call, 1)),               \
        p2(param<float>(call, 2));                                                               \
    by_wides<arity>(                                                                             \
        static_cast<S*>(out), reinterpret_cast<const S* const*>(in),                             \
        n, [&](T a, [[maybe_unused]] T b, [[maybe_unused]] T c) __attribute__((always_inline)) { \
          return T(__VA_ARGS__);                                                                 \
        });                                                                                      \
  }                                                                                              \
  static void run_##name##_##type(const Call& call, const Range& range) {                        \
    constexpr Map map{wide_##name<float>, DType::f32, DType::f32, arity, wide_##name<bf16_t>};   \
    TRN_ISA_NAMESPACE::run_map(map, call, range);                                                \
  }                                                                                              \
  TRN_REGISTER(#name, DType::type, run_##name##_##type);

#define TRN_MAP(name, arity, types, result, cost, ...) \
  TRN_TYPES_##types(TRN_MAP_BODY, name, arity, result, __VA_ARGS__)
#define TRN_MAP_MORE TRN_MAP
#define TRN_MAP_OWN TRN_MAP

}  // namespace
}  // namespace trn
