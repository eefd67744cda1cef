// Storage types of half precision and complex numbers, and their conversions.
//
// Everything here is forced inline: files compiled for different instruction sets share none of it.
#pragma once

#include <cstdint>
#include <cstring>

#include "dtype.h"
#include "kernel.h"

namespace trn {

// What a register of the instruction set that a file is compiled for holds.
#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif

template <class To, class From>
TRN_INLINE To bit_cast(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  __builtin_memcpy(&to, &from, sizeof(To));
  return to;
}

// bfloat16 bits; round to nearest even, NaN stays NaN. No branch, so loops over it vectorise.
TRN_INLINE float bf16_to_float(uint16_t bits) {
  return bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}
TRN_INLINE uint16_t float_to_bf16(float x) {
  const uint32_t u = bit_cast<uint32_t>(x);
  const uint32_t rounded = (u + 0x7fffu + ((u >> 16) & 1)) >> 16;
  return static_cast<uint16_t>((u & 0x7fffffffu) > 0x7f800000u ? 0x7fc0u : rounded);
}

// IEEE half bits; round to nearest even, subnormals kept. No branch either.
TRN_INLINE float f16_to_float(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000u) << 16;
  const uint32_t magnitude = bits & 0x7fffu;
  // Shift into float position; a multiply by 2^112 fixes the exponent, subnormals included.
  const float scaled = bit_cast<float>(magnitude << 13) * bit_cast<float>(0x77800000u);
  const uint32_t special = magnitude >= 0x7c00u ? 0x7f800000u : 0u;
  return bit_cast<float>(bit_cast<uint32_t>(scaled) | special | sign);
}
TRN_INLINE uint16_t float_to_f16(float x) {
  const uint32_t u = bit_cast<uint32_t>(x);
  const uint32_t sign = (u >> 16) & 0x8000u;
  const uint32_t magnitude = u & 0x7fffffffu;
  // Normal results: rebias the exponent and round in the integers.
  const uint32_t normal = (magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13) & 1)) >> 13;
  // Subnormal results: adding 0.5 lets the float adder round at the right bit.
  const uint32_t subnormal =
      bit_cast<uint32_t>(bit_cast<float>(magnitude) + 0.5f) - bit_cast<uint32_t>(0.5f);
  uint32_t r = magnitude < 0x38800000u ? subnormal : normal;
  r = magnitude >= 0x477ff000u ? 0x7c00u : r;  // rounds to 65536 or more
  r = magnitude > 0x7f800000u ? 0x7e00u : r;
  return static_cast<uint16_t>(r | sign);
}

// Storage types that behave as numbers: implicit to float, explicit from it.
struct bf16_t {
  uint16_t bits;
  bf16_t() = default;
  TRN_INLINE explicit bf16_t(float x) : bits(float_to_bf16(x)) {}
  TRN_INLINE operator float() const { return bf16_to_float(bits); }
};
struct f16_t {
  uint16_t bits;
  f16_t() = default;
  TRN_INLINE explicit f16_t(float x) : bits(float_to_f16(x)) {}
  TRN_INLINE operator float() const { return f16_to_float(bits); }
};

// Complex numbers with the arithmetic that kernels need; std::complex brings library calls.
template <class T>
struct complex_t {
  T re, im;
  complex_t() = default;
  TRN_INLINE constexpr complex_t(T r, T i = 0) : re(r), im(i) {}
};
using c64_t = complex_t<float>;
using c128_t = complex_t<double>;

// clang-format off
template <DType> struct StorageOf;
template <class> struct DTypeOf;
// clang-format on
#define TRN_STORAGE(type, cpp)                  \
  template <>                                   \
  struct StorageOf<DType::type> {               \
    using type_ = cpp;                          \
  };                                            \
  template <>                                   \
  struct DTypeOf<cpp> {                         \
    static constexpr DType value = DType::type; \
  };
TRN_STORAGE(u8, uint8_t)
TRN_STORAGE(i8, int8_t)
TRN_STORAGE(i16, int16_t)
TRN_STORAGE(i32, int32_t)
TRN_STORAGE(i64, int64_t)
TRN_STORAGE(u16, uint16_t)
TRN_STORAGE(u32, uint32_t)
TRN_STORAGE(u64, uint64_t)
TRN_STORAGE(f32, float)
TRN_STORAGE(f64, double)
TRN_STORAGE(bf16, bf16_t)
TRN_STORAGE(f16, f16_t)
TRN_STORAGE(b8, bool)
TRN_STORAGE(c64, c64_t)
TRN_STORAGE(c128, c128_t)
#undef TRN_STORAGE

// The type in which sums over T are kept: float for halves, the type itself otherwise.
// clang-format off
template <class T> struct AccOf { using type = T; };
template <> struct AccOf<bf16_t> { using type = float; };
template <> struct AccOf<f16_t> { using type = float; };
template <class T> using acc_t = typename AccOf<T>::type;
// clang-format on

}  // namespace trn

// TRN_REGISTER_FLOATS(softmax, run) registers run<float>, run<double>, run<bf16_t>, run<f16_t>.
#define TRN_REGISTER_FLOATS(name, fn)                         \
  TRN_REGISTER(#name, ::trn::DType::f32, fn<float>);          \
  TRN_REGISTER(#name, ::trn::DType::f64, fn<double>);         \
  TRN_REGISTER(#name, ::trn::DType::bf16, fn<::trn::bf16_t>); \
  TRN_REGISTER(#name, ::trn::DType::f16, fn<::trn::f16_t>)
// The same for the integers and bool, and for every type a tensor is commonly made of.
#define TRN_REGISTER_INTS(name, fn)                    \
  TRN_REGISTER(#name, ::trn::DType::u8, fn<uint8_t>);  \
  TRN_REGISTER(#name, ::trn::DType::i8, fn<int8_t>);   \
  TRN_REGISTER(#name, ::trn::DType::i16, fn<int16_t>); \
  TRN_REGISTER(#name, ::trn::DType::i32, fn<int32_t>); \
  TRN_REGISTER(#name, ::trn::DType::i64, fn<int64_t>); \
  TRN_REGISTER(#name, ::trn::DType::b8, fn<bool>)
#define TRN_REGISTER_COMPLEX(name, fn)                      \
  TRN_REGISTER(#name, ::trn::DType::c64, fn<::trn::c64_t>); \
  TRN_REGISTER(#name, ::trn::DType::c128, fn<::trn::c128_t>)
#define TRN_REGISTER_ALL(name, fn) \
  TRN_REGISTER_FLOATS(name, fn);   \
  TRN_REGISTER_INTS(name, fn);     \
  TRN_REGISTER_COMPLEX(name, fn)
