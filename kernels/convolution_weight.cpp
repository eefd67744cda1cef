// Gradients of convolutions' weights for the plain types.
#include "convolution_weight.h"

namespace trn {
namespace {

template <class S>
void conv_weight_of(const Call& call, const Range& range) {
  conv_weight<FloatMath<S>>(call, range);
}
TRN_REGISTER_FLOATS_BUT_DOT(conv_weight, conv_weight_of);

}  // namespace
}  // namespace trn
