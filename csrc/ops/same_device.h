// What the generated wrappers ask of the tensors of a call, and how they say what libtorch refuses.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

namespace trn::ops {

// Raises RuntimeError in the words of at::impl's common_device_check_failure, and CUDA's while it
// is redirected.
[[noreturn]] void devices_differ(c10::Device common, const at::Tensor& t, const char* op,
                                 const char* argument);

// Rethrows the exception being handled. While CUDA is redirected, this device's names in a plain
// c10::Error become CUDA's: TensorIterator and others of libtorch compare devices themselves.
[[noreturn]] void rethrow_spoken();

// One tensor, which may be undefined.
inline void check_same_device(std::optional<c10::Device>& common, const at::Tensor& t,
                              const char* op, const char* argument) {
  if (!t.defined()) return;
  if (!common) common = t.device();
  else if (*common != t.device()) devices_differ(*common, t, op, argument);
}
// An optional one, or a list of either.
template <class Tensors>
void check_same_device(std::optional<c10::Device>& common, const Tensors& tensors, const char* op,
                       const char* argument) {
  if constexpr (requires { tensors.has_value(); }) {
    if (tensors.has_value()) check_same_device(common, *tensors, op, argument);
  } else if constexpr (requires { tensors.begin(); }) {
    for (const auto& t : tensors) check_same_device(common, t, op, argument);
  } else {
    // An element of a c10::List.
    const std::optional<at::Tensor> t = tensors;
    if (t) check_same_device(common, *t, op, argument);
  }
}

}  // namespace trn::ops
