// Images and volumes as [batch, channels, d, h, w], sizes of 1 before the dimensions they have.
#pragma once

#include <ATen/core/Tensor.h>

namespace trn::ops {

inline at::Tensor five(const at::Tensor& batch) {
  at::Tensor v = batch;
  while (v.dim() < 5) v = v.unsqueeze(2);
  return v;
}
// Of a tensor with `spatial` dimensions, batched or not.
inline at::Tensor five(const at::Tensor& t, int64_t spatial) {
  return five(t.dim() == spatial + 1 ? t.unsqueeze(0) : t);
}

}  // namespace trn::ops
