// Matrix products for the families that are made of them.
#pragma once

#include "matmul_tiles.h"
#include "ops/op.h"

namespace trn::ops {

// out = alpha a b + beta add for [batch, m, n] = [batch, m, k] [batch, k, n], any strides; batch
// strides may be 0. A factor without batch is that of every batch, `add` is broadcast to out, or
// undefined; a vector is a row. a and b share a type; out may be another float type.
void matmul_into(const at::Tensor& out, const at::Tensor& a, const at::Tensor& b,
                 const at::Tensor& add = {}, const at::Scalar& alpha = 1,
                 const at::Scalar& beta = 0);

// Dense but for rows that lie a cache line further apart where they would collide: see kWayBytes.
at::Tensor empty_apart(at::IntArrayRef sizes, const at::TensorOptions& options);

// `a`, the left factor of a product cut up as `t`, or a copy of it that is read faster: see
// kApartTiles.
at::Tensor rows_apart(const at::Tensor& a, const Tiling& t);

}  // namespace trn::ops
