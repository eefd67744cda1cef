// Element types: their names, sizes, and the storage forms of the half types.
#pragma once

#include <cstddef>
#include <cstdint>

namespace trn {

// Numbered as c10::ScalarType is, so that the operator layer converts with a cast (checked there).
enum class DType : int8_t {
  u8 = 0,
  i8 = 1,
  i16 = 2,
  i32 = 3,
  i64 = 4,
  f16 = 5,
  f32 = 6,
  f64 = 7,
  c32 = 8,
  c64 = 9,
  c128 = 10,  // complex of two f16, f32, f64
  b8 = 11,
  bf16 = 15,
  f8_e5m2 = 23,
  f8_e4m3fn = 24,
  f8_e5m2fnuz = 25,
  f8_e4m3fnuz = 26,
  u16 = 27,
  u32 = 28,
  u64 = 29,
};
inline constexpr int kDTypes = 46;  // one past the largest c10::ScalarType

// Short name of a type as logs and tables print it; "?" for one without kernels.
constexpr const char* dtype_name(DType t) {
  switch (t) {
    case DType::u8: return "u8";
    case DType::i8: return "i8";
    case DType::i16: return "i16";
    case DType::i32: return "i32";
    case DType::i64: return "i64";
    case DType::f16: return "f16";
    case DType::f32: return "f32";
    case DType::f64: return "f64";
    case DType::c32: return "c32";
    case DType::c64: return "c64";
    case DType::c128: return "c128";
    case DType::b8: return "b8";
    case DType::bf16: return "bf16";
    case DType::f8_e5m2: return "f8_e5m2";
    case DType::f8_e4m3fn: return "f8_e4m3fn";
    case DType::f8_e5m2fnuz: return "f8_e5m2fnuz";
    case DType::f8_e4m3fnuz: return "f8_e4m3fnuz";
    case DType::u16: return "u16";
    case DType::u32: return "u32";
    case DType::u64: return "u64";
  }
  return "?";
}

// Bytes of one element; 0 for a type without kernels.
constexpr int64_t dtype_size(DType t) {
  switch (t) {
    case DType::u8:
    case DType::i8:
    case DType::b8:
    case DType::f8_e5m2:
    case DType::f8_e4m3fn:
    case DType::f8_e5m2fnuz:
    case DType::f8_e4m3fnuz: return 1;
    case DType::i16:
    case DType::u16:
    case DType::f16:
    case DType::bf16: return 2;
    case DType::i32:
    case DType::u32:
    case DType::f32:
    case DType::c32: return 4;
    case DType::i64:
    case DType::u64:
    case DType::f64:
    case DType::c64: return 8;
    case DType::c128: return 16;
  }
  return 0;
}

}  // namespace trn
