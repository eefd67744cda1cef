// What a family file includes to define operators, and how the generator finds them.
//
// The generator (codegen/generate.py) scans csrc/ops/*.cpp for the macros below and emits the
// PrivateUse1 wrapper with PyTorch's device checks and device guard; nothing else registers:
//
//   TRN_IMPL_FUNC(mm_out)(const at::Tensor& self, const at::Tensor& mat2, const at::Tensor& out) {
//     ...                        // a structured operator: at::meta has checked shapes and types
//   }                            // and allocated the output. Named as at::_ops names the .out
//                                // overload; functional, in-place and out forms all come of it.
//                                // Include "<stem of this file>.structured.h".
//
//   at::Tensor TRN_OP(embedding_dense_backward)(const at::Tensor& grad, ...) { ... }
//                                // any other operator, named as at::_ops names the overload;
//                                // the signature is the native function's C++ form (the one in
//                                // ATen/ops/<name>_native.h).
//
//   at::Tensor TRN_OP_ACROSS(_copy_from)(...) { ... }
//                                // the same without the check that all tensors share one device.
//
// All take precedence over a kernel that PyTorch shares between CPU and CUDA. They stand in
// namespace trn::ops, at namespace scope, each on a line of its own, never inside another macro.
#pragma once

#include <ATen/OpMathType.h>
#include <ATen/core/Tensor.h>

#include "ops/fallback.h"
#include "ops/launch.h"

namespace trn::ops {

// An operand that may be missing, dense; undefined where it is.
inline at::Tensor dense(const std::optional<at::Tensor>& t) {
  return t && t->defined() ? t->contiguous() : at::Tensor();
}

// What statistics and sums of a tensor are kept in: float32 for halves, as on CUDA.
inline at::ScalarType stat_type(const at::Tensor& t) { return at::toOpMathType(t.scalar_type()); }

}  // namespace trn::ops

#define TRN_OP(name) name
#define TRN_IMPL_FUNC(name) void structured_##name##_trn::impl
#define TRN_OP_ACROSS(name) name
