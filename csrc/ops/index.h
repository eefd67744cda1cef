// Laying out what indexing kernels read and write, and other helpers of the indexing families.
#pragma once

#include <ATen/TensorIterator.h>

#include "ops/op.h"

namespace trn::ops {

// The type under which kernels that only move elements are registered for a tensor of type t.
DType move_type(c10::ScalarType t);

// A tensor as [outer, size, inner] around `dim`; a copy only where strides leave no other way.
at::Tensor three_way(const at::Tensor& t, int64_t dim);

// How values meet what is there; the enumeration of kernels/scatter.cpp.
enum Reduction : int64_t { kReplace, kSum, kProduct, kMaximum, kMinimum, kScaledSum };

// What a reduction ("sum", "prod", "mean", "amax", "amin") starts from when the values that are
// there do not count.
at::Scalar start_of(std::string_view reduce, at::ScalarType type);

// What the index operands of one launch are for: size and element stride of the dimension that
// each indexes, and whether a negative index counts from the end.
struct Indexed {
  c10::SmallVector<int64_t, 16> sizes_and_strides;
  bool wrap = true;
};

// Queues out = self[indices...] for an iterator of (out, self, indices...), self having stride 0
// along the dimensions that an index chooses.
void read_indexed(at::TensorIteratorBase& iter, const Indexed& indexed);

// Queues self[indices...] (op)= value for operands (self, value, indices...) of one shape, self
// being restrided in the same way. Values that meet are taken in the order of the shape.
void write_indexed(c10::ArrayRef<Operand> operands, c10::ScalarType type, c10::DeviceIndex device,
                   const Indexed& indexed, Reduction how, const c10::Scalar& alpha = 1);

// One element of type t as an immediate operand that holds its bytes.
Operand immediate_bytes(const c10::Scalar& value, c10::ScalarType t);

// `t` over an iteration of `sizes` in which an index chooses the place along `dim`.
at::Tensor under_index(const at::Tensor& t, at::IntArrayRef sizes, int64_t dim);

// An iterator over an output and inputs as they are: any types, any overlap, no resizing.
at::TensorIterator iterate(const at::Tensor& out, at::TensorList inputs);

}  // namespace trn::ops
