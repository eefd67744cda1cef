// Sums, means and maxima of bags of embeddings, and their gradients.
#include <ATen/OpMathType.h>
#include <ATen/TensorOperators.h>
#include <ATen/TensorUtils.h>
#include <ATen/ops/embedding_dense_backward.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>

#include "ops/elementwise.h"

namespace trn::ops {
namespace {

const Family embedding_bag("embedding_bag"), embedding_bag_samples("embedding_bag_samples");

enum Mode : int64_t { kSum, kMean, kMax };
using Four = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor>;

void check_indices(const at::Tensor& indices, const at::Tensor& offsets) {
  const at::TensorArg indices_arg{indices, "indices", 1}, offsets_arg{offsets, "offsets", 1};
  at::checkScalarTypes("embedding_bag", indices_arg, {at::kLong, at::kInt});
  at::checkScalarTypes("embedding_bag", offsets_arg, {at::kLong, at::kInt});
  at::checkSameType("embedding_bag", indices_arg, offsets_arg);
}

void check_samples(const at::Tensor& weight, const at::Tensor& indices, int64_t mode,
                   const at::Tensor& samples) {
  TORCH_CHECK(mode == kSum, "embedding_bag: per_sample_weights only supported with mode='sum'");
  at::checkSameType("embedding_bag", {weight, "weight", 1}, {samples, "per_sample_weights", 1});
  TORCH_CHECK(samples.dim() == 1 && samples.numel() == indices.numel(),
              "embedding_bag: expected per_sample_weights of ", indices.numel(),
              " elements, but got sizes ", samples.sizes());
}

Four forward(const at::Tensor& weight, const at::Tensor& given_indices,
             const at::Tensor& given_offsets, int64_t mode,
             const std::optional<at::Tensor>& per_sample_weights, bool include_last_offset,
             int64_t padding_idx) {
  TORCH_CHECK(given_indices.dim() == 1 || given_indices.dim() == 2,
              "input has to be a 1D or 2D Tensor, but got Tensor of dimension ",
              given_indices.dim());
  if (given_indices.dim() == 1)
    TORCH_CHECK(given_offsets.dim() == 1,
                "offsets has to be a 1D Tensor, but got Tensor of dimension ", given_offsets.dim());
  TORCH_CHECK(weight.dim() == 2, "weight has to be a 2D Tensor, but got Tensor of dimension ",
              weight.dim());
  const at::ScalarType type =
      c10::promoteTypes(given_indices.scalar_type(), given_offsets.scalar_type());
  const at::Tensor indices = given_indices.to(type).contiguous(),
                   offsets = given_offsets.to(type).contiguous();
  check_indices(indices, offsets);
  at::checkScalarTypes("embedding_bag", {weight, "weight", 1},
                       {at::kHalf, at::kBFloat16, at::kFloat, at::kDouble});
  const at::Tensor samples = per_sample_weights.value_or(at::Tensor());
  if (samples.defined()) check_samples(weight, indices, mode, samples);
  int64_t bags = offsets.size(0);
  if (include_last_offset) {
    TORCH_CHECK(bags >= 1, "include_last_offset: number of offset should be at least 1");
    --bags;
  }
  const int64_t width = weight.size(1);
  const at::Tensor out = at::empty({bags, width}, weight.options());
  const at::Tensor bag_size = at::zeros(offsets.sizes(), indices.options());
  const at::Tensor offset2bag = at::zeros({indices.size(0)}, indices.options());
  const at::Tensor max_indices = mode == kMax ? at::empty({bags, width}, indices.options())
                                              : at::empty({0}, indices.options());
  const int64_t per_bag = indices.numel() / std::max<int64_t>(1, bags) + 1;
  Launch(embedding_bag, compute_type(weight.scalar_type()))
      .out(out)
      .out(offset2bag)
      .out(bag_size)
      .out(mode == kMax ? max_indices : at::Tensor())
      .in(weight)
      .in(indices.view({-1}))
      .in(offsets)
      .in(samples)
      .ints({mode, padding_idx})
      .may_fault()
      .run(bags, grain_for(per_bag * (width + 8)));
  return {out, offset2bag, bag_size, max_indices};
}

// Each feature's gradient goes to the row it was greatest in; an empty bag has none.
at::Tensor backward_of_max(const at::Tensor& grad, const at::Tensor& max_indices,
                           int64_t num_weights, int64_t padding_idx) {
  const at::ScalarType type = at::toOpMathType(grad.scalar_type());
  const at::Tensor rows = max_indices.to(at::kLong);
  const at::Tensor inside = rows.ge(0).logical_and(rows.ne(padding_idx));
  at::Tensor sum = at::zeros({num_weights, grad.size(1)}, grad.options().dtype(type));
  if (num_weights) sum.scatter_add_(0, rows.clamp_min(0), at::where(inside, grad.to(type), 0));
  return sum.to(grad.scalar_type());
}

}  // namespace

Four TRN_OP(_embedding_bag_forward_only)(const at::Tensor& weight, const at::Tensor& indices,
                                         const at::Tensor& offsets, bool, int64_t mode, bool,
                                         const std::optional<at::Tensor>& per_sample_weights,
                                         bool include_last_offset, int64_t padding_idx) {
  return forward(weight, indices, offsets, mode, per_sample_weights, include_last_offset,
                 padding_idx);
}
Four TRN_OP(_embedding_bag)(const at::Tensor& weight, const at::Tensor& indices,
                            const at::Tensor& offsets, bool, int64_t mode, bool,
                            const std::optional<at::Tensor>& per_sample_weights,
                            bool include_last_offset, int64_t padding_idx) {
  return forward(weight, indices, offsets, mode, per_sample_weights, include_last_offset,
                 padding_idx);
}

at::Tensor TRN_OP(_embedding_bag_dense_backward)(
    const at::Tensor& grad, const at::Tensor& indices, const at::Tensor& offset2bag,
    const at::Tensor& bag_size, const at::Tensor& maximum_indices, int64_t num_weights,
    bool scale_grad_by_freq, int64_t mode, const std::optional<at::Tensor>& per_sample_weights,
    int64_t padding_idx) {
  at::checkScalarTypes("embedding_bag", {grad, "grad_", 1},
                       {at::kHalf, at::kBFloat16, at::kFloat, at::kDouble});
  if (mode == kMax) return backward_of_max(grad, maximum_indices, num_weights, padding_idx);
  at::Tensor rows = grad.to(at::toOpMathType(grad.scalar_type())).index_select(0, offset2bag);
  if (mode == kMean)
    rows = rows /
           bag_size.index_select(0, offset2bag).clamp_min(1).to(rows.scalar_type()).unsqueeze(1);
  if (per_sample_weights && per_sample_weights->defined())
    rows = rows * per_sample_weights->to(rows.scalar_type()).unsqueeze(1);
  return at::embedding_dense_backward(rows, indices, num_weights, padding_idx, scale_grad_by_freq)
      .to(grad.scalar_type());
}

at::Tensor TRN_OP(_embedding_bag_per_sample_weights_backward)(const at::Tensor& grad,
                                                              const at::Tensor& weight,
                                                              const at::Tensor& given_indices,
                                                              const at::Tensor& given_offsets,
                                                              const at::Tensor& offset2bag,
                                                              int64_t mode, int64_t padding_idx) {
  TORCH_CHECK(mode == kSum,
              "embedding_bag_backward: per_sample_weights only supported for mode='sum'");
  TORCH_INTERNAL_ASSERT(grad.dim() == 2 && weight.dim() == 2 && weight.size(1) == grad.size(1));
  const at::ScalarType type =
      c10::promoteTypes(given_indices.scalar_type(), given_offsets.scalar_type());
  const at::Tensor indices = given_indices.to(type).contiguous();
  const at::Tensor out = at::empty({indices.size(0)}, grad.options());
  Launch(embedding_bag_samples, compute_type(grad.scalar_type()))
      .out(out)
      .in(grad)
      .in(weight)
      .in(indices)
      .in(offset2bag.contiguous())
      .ints({padding_idx})
      .run(out.numel(), grain_for(grad.size(1) * 2));
  return out;
}

}  // namespace trn::ops
