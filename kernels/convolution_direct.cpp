// Direct convolutions of the plain types; halves come as float.
#include "convolution_pack.h"

namespace trn {
namespace {

#define TRN_DIRECT(type, S)                                            \
  TRN_REGISTER("conv_direct", DType::type, conv_direct<FloatMath<S>>); \
  TRN_REGISTER("conv_pack", DType::type, conv_pack<FloatMath<S>>)
TRN_DIRECT(f32, float);
TRN_DIRECT(f64, double);
TRN_DIRECT(i64, int64_t);
#undef TRN_DIRECT

}  // namespace
}  // namespace trn
