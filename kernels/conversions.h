// Conversions of runs of numbers between all storage types.
#pragma once

#include "blocks.h"

namespace trn::TRN_ISA_NAMESPACE {
namespace {

// clang-format off
template <class T> constexpr bool is_complex = __is_same(T, c64_t) || __is_same(T, c128_t);
template <class T> constexpr bool is_half = __is_same(T, bf16_t) || __is_same(T, f16_t);
// clang-format on
template <class T>
constexpr bool is_floating = __is_same(T, float) || __is_same(T, double) || is_half<T>;

struct truth_t {
  uint8_t byte;
};

// One value, by PyTorch's rules: complex drops its imaginary part, anything but zero is true, and
// floating point reaches small unsigned types through i64 so that -1.0 is 255 everywhere.
template <class To, class From>
TRN_INLINE To convert_one(From x) {
  if constexpr (__is_same(To, From)) {
    return x;
  } else if constexpr (__is_same(From, truth_t)) {
    return x.byte != 0 ? convert_one<To>(int32_t{1}) : convert_one<To>(int32_t{0});
  } else if constexpr (is_complex<From>) {
    if constexpr (is_complex<To>) return To(x.re, x.im);
    else if constexpr (__is_same(To, bool)) return x.re != 0 || x.im != 0;
    else return convert_one<To>(x.re);
  } else if constexpr (is_half<From>) {
    return convert_one<To>(static_cast<float>(x));
  } else if constexpr (is_complex<To>) {
    return To(static_cast<decltype(To::re)>(x));
  } else if constexpr (__is_same(To, bool)) {
    return x != 0;
  } else if constexpr (is_half<To>) {
    return To(static_cast<float>(x));
  } else if constexpr (is_floating<From> && !is_floating<To> && sizeof(To) < 8) {
    // What does not fit becomes what PyTorch's CPU makes of it: signed types by way of int32.
    if constexpr (static_cast<To>(-1) < To(0)) return static_cast<To>(static_cast<int32_t>(x));
    else return static_cast<To>(static_cast<int64_t>(x));
  } else {
    return static_cast<To>(x);
  }
}

template <class To, class From>
void convert_loop(void* dst, int64_t ds, const void* src, int64_t ss, int64_t n) {
  // Compilers convert vectors of bytes, not of truth values.
  if constexpr (__is_same(From, bool)) return convert_loop<To, truth_t>(dst, ds, src, ss, n);
  To* __restrict d = static_cast<To*>(dst);
  const From* __restrict s = static_cast<const From*>(src);
  if (ds == 1 && ss == 1)
    for (int64_t i = 0; i < n; ++i) d[i] = convert_one<To>(s[i]);
  else if (ss == 0)
    for (int64_t i = 0; i < n; ++i) d[i * ds] = convert_one<To>(s[0]);
  else
    for (int64_t i = 0; i < n; ++i) d[i * ds] = convert_one<To>(s[i * ss]);
}

using Loop = void (*)(void*, int64_t, const void*, int64_t, int64_t);

// clang-format off
#define TRN_COMMON_TYPES(f) f(u8) f(i8) f(i16) f(i32) f(i64) f(u16) f(u32) f(u64) \
  f(f16) f(f32) f(f64) f(bf16) f(b8) f(c64) f(c128)
// clang-format on

template <class To>
Loop loop_from(DType src) {
  switch (src) {
#define TRN_CASE(type) \
  case DType::type: return convert_loop<To, StorageOf<DType::type>::type_>;
    TRN_COMMON_TYPES(TRN_CASE);
#undef TRN_CASE
    default: return nullptr;
  }
}

Loop loop_for(DType dst, DType src) {
  switch (dst) {
#define TRN_CASE(type) \
  case DType::type: return loop_from<StorageOf<DType::type>::type_>(src);
    TRN_COMMON_TYPES(TRN_CASE);
#undef TRN_CASE
    default: return nullptr;
  }
}
#undef TRN_COMMON_TYPES

// The eight-bit floats and complex halves are rare: one value at a time through float.
float f8_to_float(uint8_t bits, DType t) {
  const bool e5 = t == DType::f8_e5m2 || t == DType::f8_e5m2fnuz;
  const bool fnuz = t == DType::f8_e5m2fnuz || t == DType::f8_e4m3fnuz;
  const int mantissa_bits = e5 ? 2 : 3;
  const int bias = (e5 ? 15 : 7) + fnuz;
  const int exponent = (bits & 0x7f) >> mantissa_bits;
  const int mantissa = bits & ((1 << mantissa_bits) - 1);
  const float sign = bits & 0x80 ? -1.f : 1.f;
  if (fnuz && bits == 0x80) return __builtin_nanf("");
  if (t == DType::f8_e5m2 && exponent == 31)
    return mantissa ? __builtin_nanf("") : sign * __builtin_inff();
  if (t == DType::f8_e4m3fn && (bits & 0x7f) == 0x7f) return __builtin_nanf("");
  const int scale = (exponent ? exponent : 1) - bias - mantissa_bits;
  const float value = static_cast<float>((exponent ? 1 << mantissa_bits : 0) + mantissa);
  return sign * value * bit_cast<float>(static_cast<uint32_t>(127 + scale) << 23);
}

uint8_t float_to_f8(float x, DType t) {
  const bool e5 = t == DType::f8_e5m2 || t == DType::f8_e5m2fnuz;
  const bool fnuz = t == DType::f8_e5m2fnuz || t == DType::f8_e4m3fnuz;
  const uint8_t nan = fnuz ? 0x80 : 0x7f;
  const uint8_t sign = bit_cast<uint32_t>(x) >> 31 ? 0x80 : 0;
  if (x != x) return fnuz ? nan : sign | nan;
  // Search the ordered magnitudes; ties go to the even code.
  const int last = fnuz ? 0x7f : e5 ? 0x7b : 0x7e;
  const float m = sign ? -x : x;
  int low = 0, high = last;
  while (low < high) {
    const int mid = (low + high + 1) / 2;
    if (f8_to_float(static_cast<uint8_t>(mid), t) <= m) low = mid;
    else high = mid - 1;
  }
  const float below = f8_to_float(static_cast<uint8_t>(low), t);
  int code = low;
  if (low < last) {
    const float above = f8_to_float(static_cast<uint8_t>(low + 1), t);
    if (m - below > above - m || (m - below == above - m && (low & 1))) ++code;
  } else {
    // Past the largest: half a step more still rounds to it.
    const float step = below - f8_to_float(static_cast<uint8_t>(low - 1), t);
    if (m >= below + step / 2) return fnuz ? nan : sign | (e5 ? 0x7c : 0x7f);
  }
  return fnuz && code == 0 ? 0 : static_cast<uint8_t>(sign | code);
}

bool is_f8(DType t) { return t >= DType::f8_e5m2 && t <= DType::f8_e4m3fnuz; }

// Through c64, which holds every value of the rare types exactly.
void convert_rare(void* dst, DType dt, int64_t ds, const void* src, DType st, int64_t ss,
                  int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const char* s = static_cast<const char*>(src) + i * ss * dtype_size(st);
    char* d = static_cast<char*>(dst) + i * ds * dtype_size(dt);
    c64_t z(0);
    if (is_f8(st)) z = c64_t(f8_to_float(static_cast<uint8_t>(*s), st));
    else if (st == DType::c32) {
      const auto* h = reinterpret_cast<const f16_t*>(s);
      z = c64_t(h[0], h[1]);
    } else convert_run(&z, DType::c64, 1, s, st, 1, 1);
    if (is_f8(dt)) *d = static_cast<char>(float_to_f8(z.re, dt));
    else if (dt == DType::c32) {
      auto* h = reinterpret_cast<f16_t*>(d);
      h[0] = f16_t(z.re);
      h[1] = f16_t(z.im);
    } else convert_run(d, dt, 1, &z, DType::c64, 1, 1);
  }
}

template <class U>
void move_loop(void* dst, int64_t ds, const void* src, int64_t ss, int64_t n) {
  auto* __restrict d = static_cast<U*>(dst);
  const auto* __restrict s = static_cast<const U*>(src);
  if (ds == 1 && ss == 0)
    for (int64_t i = 0; i < n; ++i) d[i] = s[0];
  else
    for (int64_t i = 0; i < n; ++i) d[i * ds] = s[i * ss];
}

}  // namespace
}  // namespace trn::TRN_ISA_NAMESPACE
