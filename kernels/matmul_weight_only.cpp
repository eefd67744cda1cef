// Weight-only linear layers in float.
#include "matmul_weight_only.h"

namespace trn {
namespace {

TRN_REGISTER_IF(TRN_NO_DOT, "matmul_weight_only", DType::i8, multiply_weights<Bytes>);
TRN_REGISTER_IF(TRN_NO_DOT, "matmul_weight_only", DType::u8, multiply_weights<Nibbles>);

}  // namespace
}  // namespace trn
