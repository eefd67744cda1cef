// Matrix products for the families that are made of them.
#pragma once

#include "ops/op.h"

namespace trn::ops {

// out = alpha a b + beta add for [batch, m, n] = [batch, m, k] [batch, k, n], any strides; batch
// strides may be 0. `add` may be undefined. a and b share a type; out may be another float type.
void matmul_into(const at::Tensor& out, const at::Tensor& a, const at::Tensor& b,
                 const at::Tensor& add = {}, const at::Scalar& alpha = 1,
                 const at::Scalar& beta = 0);

// The right factor b [k, n] of many products, packed once where each of them would have to.
class Factor {
 public:
  // `products` of them, of matrices with that many rows.
  Factor(const at::Tensor& b, int64_t rows, int64_t products);
  // out [rows, n] = a [rows, k] times b; both of its type, and rows of a are dense.
  void product(const at::Tensor& out, const at::Tensor& a) const;

 private:
  at::Tensor matrix_, packed_;
};

}  // namespace trn::ops
