// Reductions of real types; one line registers a reducer for its types.
#include "reducers.h"

namespace trn {
namespace {

#define TRN_REDUCE(name, type, ...)                                             \
  TRN_REGISTER(name, DType::type, (reduce<__VA_ARGS__>));
#define TRN_REDUCE_FLOAT(name, reducer, ...)                                    \
  TRN_REDUCE(name, f32, reducer<float __VA_OPT__(, ) __VA_ARGS__>)              \
  TRN_REDUCE(name, f64, reducer<double __VA_OPT__(, ) __VA_ARGS__>)
#define TRN_REDUCE_INT(name, reducer, ...)                                      \
  TRN_REDUCE(name, u8, reducer<uint8_t __VA_OPT__(, ) __VA_ARGS__>)             \
  TRN_REDUCE(name, i8, reducer<int8_t __VA_OPT__(, ) __VA_ARGS__>)              \
  TRN_REDUCE(name, i16, reducer<int16_t __VA_OPT__(, ) __VA_ARGS__>)            \
  TRN_REDUCE(name, i32, reducer<int32_t __VA_OPT__(, ) __VA_ARGS__>)            \
  TRN_REDUCE(name, i64, reducer<int64_t __VA_OPT__(, ) __VA_ARGS__>)            \
  TRN_REDUCE(name, b8, reducer<bool __VA_OPT__(, ) __VA_ARGS__>)
#define TRN_REDUCE_REAL(name, reducer, ...)     \
  TRN_REDUCE_FLOAT(name, reducer, __VA_ARGS__)  \
  TRN_REDUCE_INT(name, reducer, __VA_ARGS__)

TRN_REDUCE_REAL("sum", Sum, Plain, false)
TRN_REDUCE_FLOAT("nansum", Sum, NanAsZero, false)
TRN_REDUCE_FLOAT("mean", Sum, Plain, true)
TRN_REDUCE_REAL("prod", Product)
TRN_REDUCE_REAL("all", Logic, true)
TRN_REDUCE_REAL("any", Logic, false)
TRN_REDUCE_REAL("amax", Extreme, true)
TRN_REDUCE_REAL("amin", Extreme, false)
TRN_REDUCE_REAL("argmax", ArgExtreme, true, true)
TRN_REDUCE_REAL("argmin", ArgExtreme, false, true)
TRN_REDUCE_REAL("max_dim", ArgExtreme, true, false)
TRN_REDUCE_REAL("min_dim", ArgExtreme, false, false)
TRN_REDUCE_REAL("aminmax", MinMax)
TRN_REDUCE_FLOAT("var", Variance)
TRN_REDUCE_FLOAT("norm_0", Norm, NormKind::zero)
TRN_REDUCE_FLOAT("norm_1", Norm, NormKind::one)
TRN_REDUCE_FLOAT("norm_2", Norm, NormKind::two)
TRN_REDUCE_FLOAT("norm_inf", Norm, NormKind::largest)
TRN_REDUCE_FLOAT("norm_minus_inf", Norm, NormKind::smallest)
TRN_REDUCE_FLOAT("norm_p", Norm, NormKind::other)

}  // namespace
}  // namespace trn
