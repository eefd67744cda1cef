// Moving elements by their size, and other helpers of the indexing families.
#pragma once

#include "ops/op.h"

namespace trn::ops {

// The type under which kernels that only move elements are registered for a tensor of type t.
DType move_type(c10::ScalarType t);

// A tensor as [outer, size, inner] around `dim`; a copy only where strides leave no other way.
at::Tensor three_way(const at::Tensor& t, int64_t dim);

// Running counts of true elements of `mask`, by chunks of kMaskChunk, and their number as a
// device tensor's last element.
inline constexpr int64_t kMaskChunk = 4096;
at::Tensor mask_ends(const at::Tensor& mask);

// The enumeration of kernels/index.cpp.
enum Reduction : int64_t { kReplace, kSum, kProduct, kMaximum, kMinimum };

}  // namespace trn::ops
