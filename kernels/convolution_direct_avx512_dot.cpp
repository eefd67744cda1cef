// Direct convolutions of bfloat16 through its dot product.
#include "convolution_pack.h"
#include "matmul_pairs.h"

namespace trn {
namespace {

TRN_REGISTER_IF(has_dot_products(), "conv_direct", DType::bf16, conv_direct<PairMath>);
TRN_REGISTER_IF(has_dot_products(), "conv_pack", DType::bf16, conv_pack<PairMath>);

}  // namespace
}  // namespace trn
