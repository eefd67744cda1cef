// Losses with a kernel of their own; the element-wise ones are rows.
#include <ATen/TensorOperators.h>
#include <ATen/core/Reduction.h>
#include <ATen/ops/_assert_async.h>
#include <ATen/ops/aminmax.h>
#include <ATen/ops/div.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/logical_and.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/zeros_like.h>

#include "loss.structured.h"
#include "ops/elementwise.h"

namespace trn::ops {
namespace {

const Family nll_loss("nll_loss"), nll_loss_backward_family("nll_loss_backward");

at::Tensor rows_of(const at::Tensor& t) { return t.dim() == 1 ? t.unsqueeze(0) : t; }
at::Tensor vector_of(const at::Tensor& t) { return t.dim() == 0 ? t.unsqueeze(0) : t; }

// Losses and weights of each row, reduced as asked.
void forward(const at::Tensor& input, const at::Tensor& target, const at::Tensor& weight,
             int64_t reduction, int64_t ignore_index, const at::Tensor& output,
             const at::Tensor& total_weight) {
  TORCH_CHECK(!weight.defined() || weight.scalar_type() == input.scalar_type(),
              "expected scalar type ", input.scalar_type(), " but found ",
              weight.defined() ? weight.scalar_type() : input.scalar_type());
  const at::Tensor in = rows_of(input), at = vector_of(target);
  const int64_t n = in.size(0);
  const DType type = compute_type(in.scalar_type());
  const auto options = in.options().dtype(type == DType::f64 ? at::kDouble : at::kFloat);
  const at::Tensor losses = at::empty({n}, options), weights = at::empty({n}, options);
  Launch(nll_loss, type)
      .out(losses)
      .out(weights)
      .in(in)
      .in(at)
      .in(weight)
      .ints({ignore_index})
      .may_fault()
      .run(n, grain_for(8));
  at::Tensor out = output, total = total_weight;
  if (reduction == at::Reduction::None && input.dim() == 2) {
    out.copy_(losses);
    total.zero_();
    return;
  }
  // A sum in the losses' own type, and in the result's.
  const auto sum_into = [](at::Tensor& to, const at::Tensor& of) {
    if (to.scalar_type() == of.scalar_type()) return at::sum_out(to, of);
    const at::Tensor sum = at::sum(of);
    to.copy_(sum);
    return sum;
  };
  const at::Tensor weight_sum = sum_into(total, weights), sum = sum_into(out, losses);
  if (reduction == at::Reduction::Mean) at::div_out(out, sum, weight_sum);
}

void backward(const at::Tensor& grad, const at::Tensor& input, const at::Tensor& target,
              const at::Tensor& weight, int64_t reduction, int64_t ignore_index,
              const at::Tensor& total_weight, const at::Tensor& grad_input) {
  at::Tensor out = grad_input;
  out.zero_();
  const at::Tensor rows = rows_of(out), at = vector_of(target);
  Launch(nll_loss_backward_family, compute_type(input.scalar_type()))
      .out(rows)
      .in(vector_of(grad))
      .in(at)
      .in(weight)
      .in(reduction == at::Reduction::Mean ? total_weight : at::Tensor())
      .ints({ignore_index})
      .run(rows.size(0), grain_for(8));
}

at::Tensor given(const at::OptionalTensorRef& t) { return t.has_value() ? *t : at::Tensor(); }
at::Tensor given(const std::optional<at::Tensor>& t) { return t ? *t : at::Tensor(); }

void check_classes(const at::Tensor& target) {
  TORCH_CHECK(target.scalar_type() == at::kLong, "expected scalar type Long but found ",
              target.scalar_type());
}

// Class dimension last and the others in one: [N, C, H, W] -> [N * H * W, C].
at::Tensor pixels_of(const at::Tensor& t) { return t.movedim(1, -1).flatten(0, -2); }

}  // namespace

TRN_IMPL_FUNC(nll_loss_forward_output)
(const at::Tensor& self, const at::Tensor& target, at::OptionalTensorRef weight, int64_t reduction,
 int64_t ignore_index, const at::Tensor& output, const at::Tensor& total_weight) {
  forward(self, target, given(weight), reduction, ignore_index, output, total_weight);
}

TRN_IMPL_FUNC(nll_loss_backward_grad_input)
(const at::Tensor& grad_output, const at::Tensor& self, const at::Tensor& target,
 at::OptionalTensorRef weight, int64_t reduction, int64_t ignore_index,
 const at::Tensor& total_weight, const at::Tensor& grad_input) {
  backward(grad_output, self, target, given(weight), reduction, ignore_index, total_weight,
           grad_input);
}

std::tuple<at::Tensor&, at::Tensor&> TRN_OP(nll_loss2d_forward_output)(
    const at::Tensor& self, const at::Tensor& target, const std::optional<at::Tensor>& weight,
    int64_t reduction, int64_t ignore_index, at::Tensor& output, at::Tensor& total_weight) {
  TORCH_CHECK(
      target.dim() == 3,
      "only batches of spatial targets supported (3D tensors) but got targets of dimension: ",
      target.dim());
  TORCH_CHECK(self.dim() == 4,
              "only batches of spatial inputs supported (4D tensors), but got input of dimension: ",
              self.dim());
  check_classes(target);
  const at::Tensor in = pixels_of(self), at = target.reshape({-1});
  total_weight.resize_({});
  if (reduction == at::Reduction::None) {
    output.resize_(target.sizes());
    const at::Tensor flat = at::empty({in.size(0)}, self.options());
    forward(in, at, given(weight), reduction, ignore_index, flat, total_weight);
    output.copy_(flat.view(target.sizes()));
  } else {
    output.resize_({});
    forward(in, at, given(weight), reduction, ignore_index, output, total_weight);
  }
  return {output, total_weight};
}

std::tuple<at::Tensor, at::Tensor> TRN_OP(nll_loss2d_forward)(
    const at::Tensor& self, const at::Tensor& target, const std::optional<at::Tensor>& weight,
    int64_t reduction, int64_t ignore_index) {
  at::Tensor output = at::empty({0}, self.options()), total = at::empty({0}, self.options());
  ops::nll_loss2d_forward_output(self, target, weight, reduction, ignore_index, output, total);
  return {output, total};
}

at::Tensor& TRN_OP(nll_loss2d_backward_grad_input)(const at::Tensor& grad_output,
                                                   const at::Tensor& self, const at::Tensor& target,
                                                   const std::optional<at::Tensor>& weight,
                                                   int64_t reduction, int64_t ignore_index,
                                                   const at::Tensor& total_weight,
                                                   at::Tensor& grad_input) {
  check_classes(target);
  grad_input.resize_as_(self);
  const at::Tensor in = pixels_of(self);
  at::Tensor grad = at::empty_like(in, at::MemoryFormat::Contiguous);
  backward(grad_output.reshape({-1}), in, target.reshape({-1}), given(weight), reduction,
           ignore_index, total_weight, grad);
  grad_input.movedim(1, -1).copy_(grad.view(self.movedim(1, -1).sizes()));
  return grad_input;
}

at::Tensor TRN_OP(nll_loss2d_backward)(const at::Tensor& grad_output, const at::Tensor& self,
                                       const at::Tensor& target,
                                       const std::optional<at::Tensor>& weight, int64_t reduction,
                                       int64_t ignore_index, const at::Tensor& total_weight) {
  at::Tensor grad_input = at::empty_like(self);
  return ops::nll_loss2d_backward_grad_input(grad_output, self, target, weight, reduction,
                                             ignore_index, total_weight, grad_input);
}

namespace {
at::Tensor map_of(std::initializer_list<at::Tensor> in, const Family& family, int64_t cost) {
  at::Tensor out;
  at::TensorIteratorConfig config;
  config.add_owned_output(out);
  const at::ScalarType type = in.begin()->scalar_type();
  for (const at::Tensor& t : in) {
    TORCH_CHECK(t.scalar_type() == type, "Found dtype ", t.scalar_type(), " but expected ", type);
    config.add_owned_const_input(t);
  }
  auto iter = config.build();
  map(iter, family, cost);
  return iter.output();
}
at::Tensor reduced(const at::Tensor& t, int64_t reduction) {
  return reduction == at::Reduction::Mean  ? t.mean()
         : reduction == at::Reduction::Sum ? t.sum()
                                           : t;
}
}  // namespace

at::Tensor TRN_OP(binary_cross_entropy)(const at::Tensor& self, const at::Tensor& target,
                                        const std::optional<at::Tensor>& weight,
                                        int64_t reduction) {
  if (self.numel() > 0) {  // as CUDA: told at the next synchronisation, and NaN is outside, too
    const auto [low, high] = at::aminmax(self);
    at::_assert_async(at::logical_and(low >= 0, high <= 1));
  }
  at::Tensor loss = map_of({self, target}, bce_family, 20);
  if (weight && weight->defined()) loss = at::mul(loss, *weight);
  return reduced(loss, reduction);
}
at::Tensor& TRN_OP(binary_cross_entropy_out)(const at::Tensor& self, const at::Tensor& target,
                                             const std::optional<at::Tensor>& weight,
                                             int64_t reduction, at::Tensor& out) {
  const at::Tensor loss = ops::binary_cross_entropy(self, target, weight, reduction);
  return out.resize_(loss.sizes()).copy_(loss);
}
at::Tensor TRN_OP(binary_cross_entropy_backward)(const at::Tensor& grad_output,
                                                 const at::Tensor& self, const at::Tensor& target,
                                                 const std::optional<at::Tensor>& weight,
                                                 int64_t reduction) {
  at::Tensor grad = map_of({grad_output, self, target}, bce_backward_family, 5);
  if (weight && weight->defined()) grad = at::mul(grad, *weight);
  return reduction == at::Reduction::Mean ? at::div(grad, static_cast<double>(self.numel())) : grad;
}
at::Tensor& TRN_OP(binary_cross_entropy_backward_grad_input)(
    const at::Tensor& grad_output, const at::Tensor& self, const at::Tensor& target,
    const std::optional<at::Tensor>& weight, int64_t reduction, at::Tensor& grad_input) {
  const at::Tensor grad =
      ops::binary_cross_entropy_backward(grad_output, self, target, weight, reduction);
  return grad_input.resize_(grad.sizes()).copy_(grad);
}

}  // namespace trn::ops
