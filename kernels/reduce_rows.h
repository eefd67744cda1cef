// Registers reducers for their types; shared by the files that do.
#pragma once

#include "reducers.h"

#define TRN_REDUCE(name, type, ...) TRN_REGISTER(name, DType::type, (reduce<__VA_ARGS__>));
#define TRN_REDUCE_FLOAT(name, reducer, ...)                       \
  TRN_REDUCE(name, f32, reducer<float __VA_OPT__(, ) __VA_ARGS__>) \
  TRN_REDUCE(name, f64, reducer<double __VA_OPT__(, ) __VA_ARGS__>)
#define TRN_REDUCE_INT(name, reducer, ...)                           \
  TRN_REDUCE(name, u8, reducer<uint8_t __VA_OPT__(, ) __VA_ARGS__>)  \
  TRN_REDUCE(name, i8, reducer<int8_t __VA_OPT__(, ) __VA_ARGS__>)   \
  TRN_REDUCE(name, i16, reducer<int16_t __VA_OPT__(, ) __VA_ARGS__>) \
  TRN_REDUCE(name, i32, reducer<int32_t __VA_OPT__(, ) __VA_ARGS__>) \
  TRN_REDUCE(name, i64, reducer<int64_t __VA_OPT__(, ) __VA_ARGS__>) \
  TRN_REDUCE(name, b8, reducer<bool __VA_OPT__(, ) __VA_ARGS__>)

// One row a reducer that floating-point and integer types share.
#define TRN_REDUCE_ROWS(F)               \
  F("sum", Sum, Plain, false)            \
  F("prod", Product)                     \
  F("hash", Hash)                        \
  F("all", Logic, true)                  \
  F("any", Logic, false)                 \
  F("amax", Extreme, true)               \
  F("amin", Extreme, false)              \
  F("argmax", ArgExtreme, true, true)    \
  F("argmin", ArgExtreme, false, true)   \
  F("max_dim", ArgExtreme, true, false)  \
  F("min_dim", ArgExtreme, false, false) \
  F("aminmax", MinMax)
