// Matrix products of floating-point types.
//
// operands: C [batch, m, n] of any float type; A [batch, m, k], B [batch, k, n] of the kernel's
// type, any strides; D like C or absent. C = alpha A B + beta D; D is not read if beta is 0.
// reals: alpha, beta. ints: rows and columns of a tile, as matmul_tiling() or, for a thin product,
// thin_tiling() has them; items are the tiles of all matrices.
#include "matmul_floats.h"

namespace trn {
namespace {

template <class S>
void matmul(const Call& call, const Range& range) {
  const int64_t m = call.operand[0].sizes[1], n = call.operand[0].sizes[2];
  is_thin(m, n) ? multiply_thin<S>(call, range) : multiply_blocked<FloatMath<S>>(call, range);
}

TRN_REGISTER_FLOATS_BUT_DOT(matmul, matmul);

}  // namespace
}  // namespace trn
