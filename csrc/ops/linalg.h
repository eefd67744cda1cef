// Steps that the families of dense linear algebra share; matrices are [batch, rows, columns].
#pragma once

#include <ATen/native/BatchLinearAlgebra.h>
#include <ATen/native/TransposeType.h>

#include "ops/op.h"

namespace trn::ops {

// [batch, m, n] of a tensor with any number of batch dimensions, [batch, n] of vectors: views.
at::Tensor matrices(const at::Tensor& t);
at::Tensor vectors(const at::Tensor& t);
// [batch] of one number for each matrix.
at::Tensor numbers(const at::Tensor& t);

// x = T^-1 x for the lower or upper triangle of t, in place.
void solve_triangle(const at::Tensor& t, const at::Tensor& x, bool upper, bool unit);

// op(t) with op as LAPACK names it.
at::Tensor transposed(const at::Tensor& t, at::native::TransposeType how);

// The matrix itself where its rows lie side by side, a copy of it that does otherwise.
at::Tensor by_column(const at::Tensor& a);

// A = Q R in place: R above, reflections below and in tau.
void factor_qr(const at::Tensor& a, const at::Tensor& tau);
// c = Q c or Q^H c, in place, for the reflections of factor_qr.
void apply_q(const at::Tensor& reflections, const at::Tensor& tau, const at::Tensor& c,
             bool adjoint);

}  // namespace trn::ops
