// Rows of several lengths, one after the other, to a padded batch and back: torch.nested's jagged
// layout. Only one jagged dimension, as in PyTorch's CPU.
#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/searchsorted.h>
#include <ATen/ops/where.h>

#include "ops/op.h"

namespace trn::ops {
namespace {

const at::Tensor& one_of(at::TensorList offsets, const char* name) {
  TORCH_CHECK(offsets.size() == 1, name, "(): only a single jagged dim is supported for now");
  TORCH_CHECK(offsets[0].dim() == 1, name,
              "(): expected 1D offsets, but got offsets.dim() == ", offsets[0].dim());
  return offsets[0];
}

// A mask of rows beside rows of the same leading sizes as `like`, which has more dimensions.
at::Tensor beside(const at::Tensor& mask, const at::Tensor& like) {
  at::DimVector sizes(mask.sizes());
  sizes.resize(like.dim(), 1);
  return mask.view(sizes);
}

}  // namespace

// values [rows, ...] with offsets [batch + 1] -> [batch, max_length, ...].
at::Tensor TRN_OP(_jagged_to_padded_dense_forward)(const at::Tensor& values,
                                                   at::TensorList offsets_list,
                                                   at::IntArrayRef max_lengths,
                                                   double padding_value) {
  const at::Tensor& offsets = one_of(offsets_list, "_jagged_to_padded_dense_forward");
  TORCH_CHECK(max_lengths.size() == 1,
              "_jagged_to_padded_dense_forward(): only a single jagged dim is supported for now");
  const int64_t batch = offsets.size(0) - 1;
  at::DimVector sizes{batch, max_lengths[0]};
  sizes.append(values.sizes().begin() + 1, values.sizes().end());
  if (values.size(0) == 0) return at::full(sizes, padding_value, values.options());
  const at::Tensor rows =
      offsets.narrow(0, 0, batch).unsqueeze(1) + at::arange(max_lengths[0], offsets.options());
  const at::Tensor valid = rows.lt(offsets.narrow(0, 1, batch).unsqueeze(1));
  const at::Tensor found =
      values.index_select(0, rows.clamp_max(values.size(0) - 1).flatten()).view(sizes);
  return at::where(beside(valid, found), found, at::Scalar(padding_value)).to(values.scalar_type());
}

// dense [batch, max_length, ...] with offsets [batch + 1] -> [total_L, ...]; what a row has beyond
// max_length is 0. Waits for the offsets where total_L is not given.
at::Tensor TRN_OP(_padded_dense_to_jagged_forward)(const at::Tensor& dense,
                                                   at::TensorList offsets_list,
                                                   std::optional<int64_t> total_L) {
  const at::Tensor& offsets = one_of(offsets_list, "_padded_dense_to_jagged_forward");
  const int64_t batch = offsets.size(0) - 1, longest = dense.size(1);
  const int64_t total = total_L ? *total_L : offsets.select(0, batch).item<int64_t>();
  const at::Tensor flat = dense.flatten(0, 1);
  if (total == 0 || flat.size(0) == 0) {
    at::DimVector sizes{total};
    sizes.append(dense.sizes().begin() + 2, dense.sizes().end());
    return at::full(sizes, 0, dense.options());
  }
  const at::Tensor row = at::arange(total, offsets.options());
  const at::Tensor member =
      at::searchsorted(offsets.narrow(0, 1, batch), row, false, true).clamp_max(batch - 1);
  const at::Tensor at_place = row - offsets.index_select(0, member);
  const at::Tensor found = flat.index_select(0, member * longest + at_place.clamp_max(longest - 1));
  return found.masked_fill(beside(at_place.ge(longest), found), 0);
}

}  // namespace trn::ops
