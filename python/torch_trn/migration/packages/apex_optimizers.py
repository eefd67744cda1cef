"""apex.optimizers: torch.optim's where it has them, LAMB of our own."""

from __future__ import annotations

import torch


def _only(**wanted) -> None:
    for name, (value, expected) in wanted.items():
        if value != expected:
            raise NotImplementedError(f"torch-trn's apex optimizers need {name}={expected}")


class FusedAdam(torch.optim.Adam):
    """Adam, or AdamW where adam_w_mode."""

    def __init__(self, params, lr=1e-3, bias_correction=True, betas=(0.9, 0.999), eps=1e-8,
                 adam_w_mode=True, weight_decay=0.0, amsgrad=False, set_grad_none=True,
                 capturable=False, master_weights=False):
        _only(bias_correction=(bias_correction, True), master_weights=(master_weights, False))
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad,
                         decoupled_weight_decay=adam_w_mode)
        self.set_grad_none = set_grad_none

    def zero_grad(self, set_to_none=None):
        super().zero_grad(self.set_grad_none if set_to_none is None else set_to_none)


class FusedSGD(torch.optim.SGD):
    """SGD with momentum."""

    def __init__(self, params, lr, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False,
                 wd_after_momentum=False, materialize_master_grads=True, set_grad_none=False):
        _only(wd_after_momentum=(wd_after_momentum, False))
        super().__init__(params, lr, momentum, dampening, weight_decay, nesterov)


class FusedAdagrad(torch.optim.Adagrad):
    """Adagrad."""

    def __init__(self, params, lr=1e-2, eps=1e-10, weight_decay=0.0, set_grad_none=True,
                 adagrad_w_mode=False):
        _only(adagrad_w_mode=(adagrad_w_mode, False))
        super().__init__(params, lr, weight_decay=weight_decay, eps=eps)


class FusedLAMB(torch.optim.Optimizer):
    """LAMB: Adam's step, each tensor's scaled by its weight's norm over the step's.

    Gradients are first scaled down to a total norm of max_grad_norm. Without weight decay a tensor
    is scaled only if use_nvlamb, as in apex.
    """

    def __init__(self, params, lr=1e-3, bias_correction=True, betas=(0.9, 0.999), eps=1e-6,
                 weight_decay=0.01, amsgrad=False, adam_w_mode=True, grad_averaging=True,
                 set_grad_none=True, max_grad_norm=1.0, use_nvlamb=False):
        _only(amsgrad=(amsgrad, False), adam_w_mode=(adam_w_mode, True))
        super().__init__(params, {
            "lr": lr, "bias_correction": bias_correction, "betas": betas, "eps": eps,
            "weight_decay": weight_decay, "grad_averaging": grad_averaging,
            "max_grad_norm": max_grad_norm, "use_nvlamb": use_nvlamb})

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        grads = [p.grad for g in self.param_groups for p in g["params"] if p.grad is not None]
        total = torch.nn.utils.get_total_norm(grads).float() if grads else None
        for group in self.param_groups:
            limit = group["max_grad_norm"]
            shrink = (total / limit).clamp(min=1.0) if limit and total is not None else 1.0
            for p in group["params"]:
                if p.grad is not None:
                    self._update(p, p.grad.float() / shrink, group)
        return loss

    def _update(self, p, grad, group) -> None:
        state, (beta1, beta2) = self.state[p], group["betas"]
        if not state:
            state["step"] = 0
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(grad), torch.zeros_like(grad)
        state["step"] += 1
        mean, square = state["exp_avg"], state["exp_avg_sq"]
        mean.mul_(beta1).add_(grad, alpha=1 - beta1 if group["grad_averaging"] else 1.0)
        square.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        first, second = 1.0, 1.0
        if group["bias_correction"]:
            first, second = 1 - beta1 ** state["step"], 1 - beta2 ** state["step"]
        decay = group["weight_decay"]
        update = (mean / first) / ((square / second).sqrt() + group["eps"]) + decay * p.float()
        if decay or group["use_nvlamb"]:
            weight, length = p.float().norm(), update.norm()
            update *= torch.where((weight > 0) & (length > 0), weight / length, 1.0)
        p.sub_((group["lr"] * update).to(p.dtype))
