// Matrix products of bfloat16 and of bytes through their dot-product instructions; operands as in
// matmul.cpp.
#include "matmul_bytes.h"
#include "matmul_pairs.h"

namespace trn {
namespace {

void matmul_pairs(const Call& call, const Range& range) {
  if (is_thin(call.operand[0].sizes[1], call.operand[0].sizes[2]))
    multiply_thin<bf16_t, PairDots>(call, range);
  else multiply_blocked<PairMath>(call, range);
}

void matmul_bytes(const Call& call, const Range& range) { multiply_blocked<ByteMath>(call, range); }

TRN_REGISTER_IF(has_dot_products(), "matmul", DType::bf16, matmul_pairs);
TRN_REGISTER_IF(has_dot_products(), "matmul_bytes", DType::i8, matmul_bytes);

}  // namespace
}  // namespace trn
