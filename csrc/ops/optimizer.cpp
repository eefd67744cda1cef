// Fused optimizers and GradScaler's operators.
#include <ATen/ops/empty_like.h>

#include "ops/elementwise.h"
#include "ops/op.h"

namespace trn::ops {
namespace {

const Family adam("adam"), sgd("sgd"), adagrad("adagrad"), unscale("unscale"),
    update_scale("update_scale");
constexpr int64_t kStepCost = 8;

using Optional = std::optional<at::Tensor>;

struct AdamLists {
  at::TensorList params, grads, exp_avgs, exp_avg_sqs, max_exp_avg_sqs, steps;
};
struct AdamScalars {
  double lr, beta1, beta2, weight_decay, eps;
  bool amsgrad, maximize, decoupled;
};

// The dense memory of a tensor as one row; optimizers only pair tensors of equal strides.
at::Tensor flat(const at::Tensor& t) {
  TORCH_CHECK(t.is_non_overlapping_and_dense(), "fused optimizers need dense tensors");
  return t.as_strided({t.numel()}, {1});
}

// A learning rate that is a tensor: the host's is read, the device's stays there.
struct Rate {
  double value;
  at::Tensor tensor;
};
Rate rate_of(const at::Tensor& lr) {
  return lr.is_cpu() ? Rate{lr.item<double>(), {}} : Rate{0, lr};
}

// A gradient that lies as its parameter does.
at::Tensor grad_of(const at::Tensor& p, const at::Tensor& grad) {
  return grad.strides().equals(p.strides()) ? grad : at::empty_like(p).copy_(grad);
}

void adam_step(const AdamLists& l, const AdamScalars& s, const at::Tensor& lr,
               const Optional& grad_scale, const Optional& found_inf) {
  for (size_t i = 0; i < l.params.size(); ++i) {
    const at::Tensor& p = l.params[i];
    if (p.numel() == 0) continue;
    Launch(adam, compute_type(p.scalar_type()))
        .out(flat(p))
        .out(flat(l.exp_avgs[i]))
        .out(flat(l.exp_avg_sqs[i]))
        .out(s.amsgrad ? flat(l.max_exp_avg_sqs[i]) : at::Tensor())
        .in(flat(grad_of(p, l.grads[i])))
        .in(l.steps[i])
        .in(lr)
        .in(grad_scale)
        .in(found_inf)
        .ints({s.decoupled, s.maximize})
        .reals({s.lr, s.beta1, s.beta2, s.weight_decay, s.eps})
        .run(p.numel(), grain_for(kStepCost));
  }
}

}  // namespace

// clang-format off
void TRN_OP(_fused_adam_)(at::TensorList self, at::TensorList grads, at::TensorList exp_avgs,
    at::TensorList exp_avg_sqs, at::TensorList max_exp_avg_sqs, at::TensorList state_steps,
    double lr, double beta1, double beta2, double weight_decay, double eps, bool amsgrad,
    bool maximize, const Optional& grad_scale, const Optional& found_inf) {
  adam_step({self, grads, exp_avgs, exp_avg_sqs, max_exp_avg_sqs, state_steps},
            {lr, beta1, beta2, weight_decay, eps, amsgrad, maximize, false}, {}, grad_scale,
            found_inf);
}
void TRN_OP(_fused_adamw_)(at::TensorList self, at::TensorList grads, at::TensorList exp_avgs,
    at::TensorList exp_avg_sqs, at::TensorList max_exp_avg_sqs, at::TensorList state_steps,
    double lr, double beta1, double beta2, double weight_decay, double eps, bool amsgrad,
    bool maximize, const Optional& grad_scale, const Optional& found_inf) {
  adam_step({self, grads, exp_avgs, exp_avg_sqs, max_exp_avg_sqs, state_steps},
            {lr, beta1, beta2, weight_decay, eps, amsgrad, maximize, true}, {}, grad_scale,
            found_inf);
}
void TRN_OP_ACROSS(_fused_adam__tensor_lr)(at::TensorList self, at::TensorList grads,
    at::TensorList exp_avgs, at::TensorList exp_avg_sqs, at::TensorList max_exp_avg_sqs,
    at::TensorList state_steps, const at::Tensor& lr, double beta1, double beta2,
    double weight_decay, double eps, bool amsgrad, bool maximize, const Optional& grad_scale,
    const Optional& found_inf) {
  const Rate rate = rate_of(lr);
  adam_step({self, grads, exp_avgs, exp_avg_sqs, max_exp_avg_sqs, state_steps},
            {rate.value, beta1, beta2, weight_decay, eps, amsgrad, maximize,
             false},
            rate.tensor, grad_scale, found_inf);
}
void TRN_OP_ACROSS(_fused_adamw__tensor_lr)(at::TensorList self, at::TensorList grads,
    at::TensorList exp_avgs, at::TensorList exp_avg_sqs, at::TensorList max_exp_avg_sqs,
    at::TensorList state_steps, const at::Tensor& lr, double beta1, double beta2,
    double weight_decay, double eps, bool amsgrad, bool maximize, const Optional& grad_scale,
    const Optional& found_inf) {
  const Rate rate = rate_of(lr);
  adam_step({self, grads, exp_avgs, exp_avg_sqs, max_exp_avg_sqs, state_steps},
            {rate.value, beta1, beta2, weight_decay, eps, amsgrad, maximize,
             true},
            rate.tensor, grad_scale, found_inf);
}
// clang-format on

namespace {
struct SgdScalars {
  double weight_decay, momentum, lr, dampening;
  bool nesterov, maximize, first;
};
void sgd_step(at::TensorList params, at::TensorList grads, at::TensorList buffers,
              const SgdScalars& s, const at::Tensor& lr, const Optional& grad_scale,
              const Optional& found_inf) {
  for (size_t i = 0; i < params.size(); ++i) {
    const at::Tensor& p = params[i];
    if (p.numel() == 0) continue;
    Launch(sgd, compute_type(p.scalar_type()))
        .out(flat(p))
        .out(buffers.empty() ? at::Tensor() : flat(buffers[i]))
        .in(flat(grad_of(p, grads[i])))
        .in(lr)
        .in(grad_scale)
        .in(found_inf)
        .ints({s.nesterov, s.maximize, s.first})
        .reals({s.lr, s.weight_decay, s.momentum, s.dampening})
        .run(p.numel(), grain_for(kStepCost / 2));
  }
}
}  // namespace

void TRN_OP(_fused_sgd_)(at::TensorList self, at::TensorList grads,
                         at::TensorList momentum_buffer_list, double weight_decay, double momentum,
                         double lr, double dampening, bool nesterov, bool maximize,
                         bool is_first_step, const Optional& grad_scale,
                         const Optional& found_inf) {
  sgd_step(self, grads, momentum_buffer_list,
           {weight_decay, momentum, lr, dampening, nesterov, maximize, is_first_step}, {},
           grad_scale, found_inf);
}

void TRN_OP_ACROSS(_fused_sgd__tensor_lr)(at::TensorList self, at::TensorList grads,
                                          at::TensorList momentum_buffer_list, double weight_decay,
                                          double momentum, const at::Tensor& lr, double dampening,
                                          bool nesterov, bool maximize, bool is_first_step,
                                          const Optional& grad_scale, const Optional& found_inf) {
  const Rate rate = rate_of(lr);
  sgd_step(self, grads, momentum_buffer_list,
           {weight_decay, momentum, rate.value, dampening, nesterov, maximize, is_first_step},
           rate.tensor, grad_scale, found_inf);
}

namespace {
struct AdagradScalars {
  double lr, lr_decay, weight_decay, eps;
  bool maximize;
};
void adagrad_step(at::TensorList params, at::TensorList grads, at::TensorList sums,
                  at::TensorList steps, const AdagradScalars& s, const at::Tensor& lr,
                  const Optional& grad_scale, const Optional& found_inf) {
  for (size_t i = 0; i < params.size(); ++i) {
    const at::Tensor& p = params[i];
    if (p.numel() == 0) continue;
    Launch(adagrad, compute_type(p.scalar_type()))
        .out(flat(p))
        .out(flat(sums[i]))
        .in(flat(grad_of(p, grads[i])))
        .in(steps[i])
        .in(lr)
        .in(grad_scale)
        .in(found_inf)
        .ints({s.maximize})
        .reals({s.lr, s.lr_decay, s.weight_decay, s.eps})
        .run(p.numel(), grain_for(kStepCost));
  }
}
}  // namespace

void TRN_OP(_fused_adagrad_)(at::TensorList self, at::TensorList grads, at::TensorList state_sums,
                             at::TensorList state_steps, double lr, double lr_decay,
                             double weight_decay, double eps, bool maximize,
                             const Optional& grad_scale, const Optional& found_inf) {
  adagrad_step(self, grads, state_sums, state_steps, {lr, lr_decay, weight_decay, eps, maximize},
               {}, grad_scale, found_inf);
}

void TRN_OP_ACROSS(_fused_adagrad__tensor_lr)(at::TensorList self, at::TensorList grads,
                                              at::TensorList state_sums, at::TensorList state_steps,
                                              const at::Tensor& lr, double lr_decay,
                                              double weight_decay, double eps, bool maximize,
                                              const Optional& grad_scale,
                                              const Optional& found_inf) {
  const Rate rate = rate_of(lr);
  adagrad_step(self, grads, state_sums, state_steps,
               {rate.value, lr_decay, weight_decay, eps, maximize}, rate.tensor, grad_scale,
               found_inf);
}

void TRN_OP(_amp_foreach_non_finite_check_and_unscale_)(at::TensorList self, at::Tensor& found_inf,
                                                        const at::Tensor& inv_scale) {
  TORCH_CHECK(inv_scale.numel() == 1, "inv_scale must be a 1-element tensor.");
  TORCH_CHECK(found_inf.numel() == 1, "found_inf must be a 1-element tensor.");
  TORCH_CHECK(inv_scale.scalar_type() == at::kFloat, "inv_scale must be a float tensor.");
  TORCH_CHECK(found_inf.scalar_type() == at::kFloat, "found_inf must be a float tensor.");
  for (const at::Tensor& t : self) {
    if (t.numel() == 0) continue;
    const bool dense = t.is_non_overlapping_and_dense();
    const at::Tensor grad = dense ? t : t.contiguous();
    Launch(unscale, compute_type(t.scalar_type()))
        .out(flat(grad))
        .out(found_inf)
        .in(inv_scale)
        .run(t.numel(), grain_for(2));
    if (!dense) at::Tensor(t).copy_(grad);
  }
}

at::Tensor& TRN_OP(_amp_update_scale_)(at::Tensor& self, at::Tensor& growth_tracker,
                                       const at::Tensor& found_inf, double scale_growth_factor,
                                       double scale_backoff_factor, int64_t growth_interval) {
  TORCH_CHECK(growth_tracker.numel() == 1, "growth_tracker must be a 1-element tensor.");
  TORCH_CHECK(self.numel() == 1, "current_scale must be a 1-element tensor.");
  TORCH_CHECK(growth_tracker.scalar_type() == at::kInt, "growth_tracker must be an int tensor.");
  TORCH_CHECK(self.scalar_type() == at::kFloat, "current_scale must be a float tensor.");
  TORCH_CHECK(found_inf.scalar_type() == at::kFloat, "found_inf must be a float tensor.");
  Launch(update_scale, DType::f32)
      .out(self)
      .out(growth_tracker)
      .in(found_inf)
      .ints({growth_interval})
      .reals({scale_growth_factor, scale_backoff_factor})
      .run(1, 1);
  return self;
}

}  // namespace trn::ops
