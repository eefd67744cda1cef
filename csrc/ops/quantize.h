// What quantization and fake quantization have in common.
#pragma once

#include <ATen/core/Tensor.h>

namespace trn::ops {

// One value a channel of `of`, in a type, shaped so that it broadcasts along `axis`.
at::Tensor along(const at::Tensor& t, const at::Tensor& of, int64_t axis, at::ScalarType type);

}  // namespace trn::ops
