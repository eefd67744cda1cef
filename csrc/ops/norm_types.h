// Which types normalisations take for weights and statistics: CUDA's rules, in its words.
#pragma once

#include <ATen/core/Tensor.h>

#include <initializer_list>
#include <optional>

namespace trn::ops {

// Raises RuntimeError for a parameter that has another type than the input; float32 goes with
// halves. Missing ones fit.
void check_norm_types(const at::Tensor& input,
                      std::initializer_list<const std::optional<at::Tensor>*> parameters);
// The same, first in cuDNN's words where that would run it on CUDA.
void check_batch_norm_types(const at::Tensor& input, const std::optional<at::Tensor>& weight,
                            const std::optional<at::Tensor>& bias,
                            const std::optional<at::Tensor>& running_mean,
                            const std::optional<at::Tensor>& running_var);

}  // namespace trn::ops
