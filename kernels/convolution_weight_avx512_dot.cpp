// Gradients of convolutions' weights of bfloat16 through its dot product.
#include "convolution_weight.h"
#include "matmul_pairs.h"

namespace trn {
namespace {

TRN_REGISTER_IF(has_dot_products(), "conv_weight", DType::bf16, conv_weight<PairMath>);

}  // namespace
}  // namespace trn
