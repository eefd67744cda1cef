// Matrix products of bfloat16 and of bytes compiled for AMX; operands as in matmul.cpp.
#include "matmul_amx.h"

namespace trn {
namespace {

TRN_REGISTER_IF(has_tiles(), "matmul", DType::bf16, matmul_pairs_by_tiles);
TRN_REGISTER_IF(has_tiles(), "matmul_bytes", DType::i8, matmul_bytes_by_tiles);

}  // namespace
}  // namespace trn
