// Convolutions of bfloat16 through its dot product.
#include "convolution_math.h"
#include "matmul_pairs.h"

namespace trn {
namespace {

TRN_REGISTER_IF(has_dot_products(), "convolution", DType::bf16, convolve<PairMath>);

}  // namespace
}  // namespace trn
