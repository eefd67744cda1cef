// The kernels of matmul_amx.h compiled with emulated tiles, apart from the tests: what they include
// may not be shared with code for other processors.
#include "emulated_tiles.h"

#include "matmul_amx.h"

namespace trn {

void matmul_pairs_emulated(const Call& call, const Range& range) {
  matmul_pairs_by_tiles(call, range);
}
void matmul_bytes_emulated(const Call& call, const Range& range) {
  matmul_bytes_by_tiles(call, range);
}

}  // namespace trn
