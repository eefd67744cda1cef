// Sizes of the blocks that dense linear algebra is done in; kernels and operators share them.
#pragma once

#include <cstdint>

namespace trn {

inline constexpr int64_t kTriangle = 64;   // largest triangle of one launch
inline constexpr int64_t kPanel = 32;      // right sides of one item of a triangular system
inline constexpr int64_t kLuColumns = 16;  // columns that one launch factors into L U
inline constexpr int64_t kQrColumns = 32;  // columns that one launch factors into Q R

}  // namespace trn
