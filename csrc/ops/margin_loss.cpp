// Hinge losses over classes, of one label a row and of several.
#include <ATen/OpMathType.h>
#include <ATen/core/Reduction.h>
#include <ATen/native/LossMulti.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include "ops/elementwise.h"

namespace trn::ops {
namespace {

const Family multi_margin("multi_margin_loss"), multi_margin_backward("multi_margin_loss_backward"),
    multilabel("multilabel_margin_loss"), multilabel_backward("multilabel_margin_loss_backward");

void check_type(const char* expected, at::ScalarType type, const at::Tensor& t) {
  TORCH_CHECK(t.scalar_type() == type, "expected scalar type ", expected, " but found ",
              t.scalar_type());
}

// Scores and labels as rows, in the type that is computed in.
struct Rows {
  int64_t n = 0, classes = 0;
  at::ScalarType type;
  at::Tensor scores, target, weight;

  at::TensorOptions options() const { return scores.options().memory_format(std::nullopt); }
  // One gradient a row.
  at::Tensor spread(const at::Tensor& grad) const {
    return grad.to(type).reshape({-1}).expand({n});
  }
};

at::Tensor reduced(const at::Tensor& losses, int64_t reduction) {
  return reduction == at::Reduction::Mean  ? losses.mean()
         : reduction == at::Reduction::Sum ? losses.sum()
                                           : losses;
}

double factor_of(const Rows& r, int64_t reduction) {
  return 1.0 / static_cast<double>(r.classes * (reduction == at::Reduction::Mean ? r.n : 1));
}

Rows one_label(const at::Tensor& self, const at::Tensor& target, const at::Scalar& p,
               const std::optional<at::Tensor>& weight) {
  Rows r;
  const int64_t power = p.toLong();
  TORCH_CHECK(power == 1 || power == 2, "only p == 1 and p == 2 supported");
  at::native::multi_margin_loss_shape_check(r.n, r.classes, self.dim(), self, target, weight);
  check_type("Long", at::kLong, target);
  r.type = at::toOpMathType(self.scalar_type());
  r.scores = self.to(r.type).contiguous().view({r.n, r.classes});
  r.target = target.contiguous().view({r.n});
  if (weight && weight->defined()) {
    TORCH_CHECK(weight->scalar_type() == self.scalar_type(), "expected scalar type ",
                self.scalar_type(), " but found ", weight->scalar_type());
    r.weight = weight->to(r.type).reshape({r.classes});
  }
  return r;
}

Rows many_labels(const at::Tensor& self, const at::Tensor& target) {
  Rows r;
  at::native::multilabel_margin_loss_shape_check(r.n, r.classes, self.dim(), self, target);
  check_type("Long", at::kLong, target);
  r.type = at::toOpMathType(self.scalar_type());
  r.scores = self.to(r.type).contiguous().view({r.n, r.classes});
  r.target = target.contiguous().view({r.n, r.classes});
  return r;
}

}  // namespace

at::Tensor TRN_OP(multi_margin_loss)(const at::Tensor& self, const at::Tensor& target,
                                     const at::Scalar& p, const at::Scalar& margin,
                                     const std::optional<at::Tensor>& weight, int64_t reduction) {
  const Rows r = one_label(self, target, p, weight);
  const at::Tensor losses = at::empty({r.n}, r.options());
  Launch(multi_margin, dtype_of(r.type))
      .out(losses)
      .in(r.scores)
      .in(r.target)
      .in(r.weight)
      .ints({p.toLong()})
      .reals({margin.toDouble()})
      .may_fault()
      .run(r.n, grain_for(r.classes * 3));
  const at::Tensor shaped = target.dim() == 0 ? losses.squeeze(0) : losses;
  return reduced(shaped, reduction).to(self.scalar_type());
}
at::Tensor& TRN_OP(multi_margin_loss_out)(const at::Tensor& self, const at::Tensor& target,
                                          const at::Scalar& p, const at::Scalar& margin,
                                          const std::optional<at::Tensor>& weight,
                                          int64_t reduction, at::Tensor& out) {
  const at::Tensor loss = ops::multi_margin_loss(self, target, p, margin, weight, reduction);
  return out.resize_(loss.sizes()).copy_(loss);
}
at::Tensor TRN_OP(multi_margin_loss_backward)(const at::Tensor& grad_output, const at::Tensor& self,
                                              const at::Tensor& target, const at::Scalar& p,
                                              const at::Scalar& margin,
                                              const std::optional<at::Tensor>& weight,
                                              int64_t reduction) {
  const Rows r = one_label(self, target, p, weight);
  const at::Tensor out = at::zeros({r.n, r.classes}, r.options());
  Launch(multi_margin_backward, dtype_of(r.type))
      .out(out)
      .in(r.spread(grad_output))
      .in(r.scores)
      .in(r.target)
      .in(r.weight)
      .ints({p.toLong()})
      .reals({margin.toDouble(), factor_of(r, reduction)})
      .run(r.n, grain_for(r.classes * 4));
  return out.to(self.scalar_type()).view(self.sizes());
}
at::Tensor& TRN_OP(multi_margin_loss_backward_grad_input)(
    const at::Tensor& grad_output, const at::Tensor& self, const at::Tensor& target,
    const at::Scalar& p, const at::Scalar& margin, const std::optional<at::Tensor>& weight,
    int64_t reduction, at::Tensor& grad_input) {
  const at::Tensor grad =
      ops::multi_margin_loss_backward(grad_output, self, target, p, margin, weight, reduction);
  return grad_input.resize_(grad.sizes()).copy_(grad);
}

std::tuple<at::Tensor, at::Tensor> TRN_OP(multilabel_margin_loss_forward)(const at::Tensor& self,
                                                                          const at::Tensor& target,
                                                                          int64_t reduction) {
  const Rows r = many_labels(self, target);
  const at::Tensor losses = at::empty({r.n}, r.options());
  const at::Tensor is_target = at::empty({r.n, r.classes}, r.options());
  Launch(multilabel, dtype_of(r.type))
      .out(losses)
      .out(is_target)
      .in(r.scores)
      .in(r.target)
      .may_fault()
      .run(r.n, grain_for(r.classes * r.classes));
  const at::Tensor shaped = target.dim() <= 1 ? losses.squeeze(0) : losses;
  return {reduced(shaped, reduction).to(self.scalar_type()),
          is_target.to(self.scalar_type()).view(target.sizes())};
}
std::tuple<at::Tensor&, at::Tensor&> TRN_OP(multilabel_margin_loss_forward_output)(
    const at::Tensor& self, const at::Tensor& target, int64_t reduction, at::Tensor& output,
    at::Tensor& is_target) {
  const auto [loss, mark] = ops::multilabel_margin_loss_forward(self, target, reduction);
  output.resize_(loss.sizes()).copy_(loss);
  is_target.resize_(mark.sizes()).copy_(mark);
  return {output, is_target};
}
at::Tensor TRN_OP(multilabel_margin_loss_backward)(const at::Tensor& grad_output,
                                                   const at::Tensor& self, const at::Tensor& target,
                                                   int64_t reduction, const at::Tensor& is_target) {
  const Rows r = many_labels(self, target);
  TORCH_CHECK(is_target.sizes() == target.sizes(),
              "inconsistent is_target size: ", is_target.sizes(),
              " for target of size: ", target.sizes());
  const at::Tensor out = at::zeros({r.n, r.classes}, r.options());
  const at::Tensor mark = is_target.to(r.type).contiguous().view({r.n, r.classes});
  Launch(multilabel_backward, dtype_of(r.type))
      .out(out)
      .in(r.spread(grad_output))
      .in(r.scores)
      .in(r.target)
      .in(mark)
      .reals({factor_of(r, reduction)})
      .run(r.n, grain_for(r.classes * r.classes));
  return out.to(self.scalar_type()).view(self.sizes());
}
at::Tensor& TRN_OP(multilabel_margin_loss_backward_grad_input)(
    const at::Tensor& grad_output, const at::Tensor& self, const at::Tensor& target,
    int64_t reduction, const at::Tensor& is_target, at::Tensor& grad_input) {
  const at::Tensor grad =
      ops::multilabel_margin_loss_backward(grad_output, self, target, reduction, is_target);
  return grad_input.resize_(grad.sizes()).copy_(grad);
}

}  // namespace trn::ops
