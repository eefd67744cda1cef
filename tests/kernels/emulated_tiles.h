// Matrix products by emulated tile registers: the kernels of kernels/matmul_amx.h on a processor
// that has AVX512 with dot products.
#pragma once

#include "kernel.h"

namespace trn {

void matmul_pairs_emulated(const Call& call, const Range& range);
void matmul_bytes_emulated(const Call& call, const Range& range);

}  // namespace trn
