// Creating device tensors; what the generated wrappers and the families allocate with.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/TensorOptions.h>

namespace trn::ops {

// An uninitialised tensor on options.device() (the current device where none is named).
at::Tensor empty_of(at::IntArrayRef sizes, const at::TensorOptions& options);
at::Tensor empty_strided_of(at::IntArrayRef sizes, at::IntArrayRef strides,
                            const at::TensorOptions& options);

}  // namespace trn::ops
