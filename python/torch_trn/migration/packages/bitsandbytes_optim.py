"""bitsandbytes.optim: the optimizers, with states of full precision."""

from __future__ import annotations

import math

import torch


def _check(percentile_clipping) -> None:
    if percentile_clipping != 100:
        raise NotImplementedError("torch-trn's bitsandbytes has no percentile_clipping")


def _adam(name: str, decoupled: bool, decay: float) -> type:
    class Adam(torch.optim.Adam):
        def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=decay,
                     amsgrad=False, optim_bits=32, args=None, min_8bit_size=4096,
                     percentile_clipping=100, block_wise=True, is_paged=False):
            _check(percentile_clipping)
            super().__init__(params, lr, betas, eps, weight_decay, amsgrad,
                             decoupled_weight_decay=decoupled)

    Adam.__name__ = Adam.__qualname__ = name
    return Adam


class _ByParameter(torch.optim.Optimizer):
    """Steps that know one parameter, its group and its state."""

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in (p for p in group["params"] if p.grad is not None):
                self._update(p, group, self.state[p])
        return loss


class _Lion(_ByParameter):
    """The sign of an average of gradients, decoupled weight decay."""

    def __init__(self, params, lr=1e-4, betas=(0.9, 0.99), weight_decay=0.0, optim_bits=32,
                 args=None, min_8bit_size=4096, percentile_clipping=100, block_wise=True,
                 is_paged=False):
        _check(percentile_clipping)
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    def _update(self, p, group, state):
        beta1, beta2 = group["betas"]
        mean = state.setdefault("exp_avg", torch.zeros_like(p))
        p.mul_(1 - group["lr"] * group["weight_decay"])
        p.sub_(mean.lerp(p.grad, 1 - beta1).sign_(), alpha=group["lr"])
        mean.lerp_(p.grad, 1 - beta2)


class _AdEMAMix(_ByParameter):
    """Adam with a second, slower average of gradients, of which both weight and memory may grow.

    Source: M. Pagliardini et al., "The AdEMAMix optimizer: better, faster, older", 2024.
    """

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999, 0.9999), alpha=5.0, t_alpha=None,
                 t_beta3=None, eps=1e-8, weight_decay=1e-2, optim_bits=32, min_8bit_size=4096,
                 is_paged=False):
        super().__init__(params, {"lr": lr, "betas": betas, "alpha": alpha, "t_alpha": t_alpha,
                                  "t_beta3": t_beta3, "eps": eps, "weight_decay": weight_decay})

    def _update(self, p, group, state):
        if not state:
            state["step"] = 0
            for name in ("exp_avg", "exp_avg_slow", "exp_avg_sq"):
                state[name] = torch.zeros_like(p)
        state["step"] += 1
        step, (beta1, beta2, beta3), alpha = state["step"], group["betas"], group["alpha"]
        if group["t_alpha"]:
            alpha = min(step / group["t_alpha"], 1) * alpha
        if group["t_beta3"]:
            # The half-life grows evenly from beta1's to beta3's.
            fast, slow, part = math.log(beta1), math.log(beta3), step / group["t_beta3"]
            beta3 = min(math.exp(fast * slow / ((1 - part) * slow + part * fast)), beta3)
        state["exp_avg"].lerp_(p.grad, 1 - beta1)
        state["exp_avg_slow"].lerp_(p.grad, 1 - beta3)
        square = state["exp_avg_sq"].mul_(beta2).addcmul_(p.grad, p.grad, value=1 - beta2)
        size = square.sqrt().div_(math.sqrt(1 - beta2 ** step)).add_(group["eps"])
        mean = (state["exp_avg"] / (1 - beta1 ** step)).add_(state["exp_avg_slow"], alpha=alpha)
        p.mul_(1 - group["lr"] * group["weight_decay"])
        p.addcdiv_(mean, size, value=-group["lr"])


class _SGD(torch.optim.SGD):
    def __init__(self, params, lr, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False,
                 args=None, min_8bit_size=4096, percentile_clipping=100, block_wise=True):
        _check(percentile_clipping)
        super().__init__(params, lr, momentum, dampening, weight_decay, nesterov)


class _RMSprop(torch.optim.RMSprop):
    def __init__(self, params, lr=1e-2, alpha=0.99, eps=1e-8, weight_decay=0.0, momentum=0.0,
                 centered=False, optim_bits=32, args=None, min_8bit_size=4096,
                 percentile_clipping=100, block_wise=True):
        _check(percentile_clipping)
        super().__init__(params, lr, alpha, eps, weight_decay, momentum, centered)


class _Adagrad(torch.optim.Adagrad):
    def __init__(self, params, lr=1e-2, lr_decay=0.0, weight_decay=0.0,
                 initial_accumulator_value=0.0, eps=1e-10, optim_bits=32, args=None,
                 min_8bit_size=4096, percentile_clipping=100, block_wise=True):
        _check(percentile_clipping)
        super().__init__(params, lr, lr_decay, weight_decay, initial_accumulator_value, eps)


for _suffix in ("", "8bit", "32bit"):
    for _prefix in ("", "Paged"):
        for _kind, _decoupled, _decay in (("Adam", False, 0.0), ("AdamW", True, 1e-2)):
            _name = f"{_prefix}{_kind}{_suffix}"
            globals()[_name] = _adam(_name, _decoupled, _decay)
        for _class in (_Lion, _AdEMAMix):
            _name = f"{_prefix}{_class.__name__.lstrip('_')}{_suffix}"
            globals()[_name] = type(_name, (_class,), {})
    for _class in (_SGD, _RMSprop, _Adagrad):
        _name = _class.__name__.lstrip("_") + _suffix
        globals()[_name] = type(_name, (_class,), {})


class GlobalOptimManager:
    """Overrides of how many bits a state has: accepted, since every state has all of them."""

    _instance = None

    @classmethod
    def get_instance(cls) -> GlobalOptimManager:
        cls._instance = cls._instance or cls()
        return cls._instance

    def register_parameters(self, params) -> None:
        """Accepted."""

    def override_config(self, parameters, key=None, value=None, key_value_dict=None) -> None:
        """Accepted."""

    def register_module_override(self, module, param_name, config) -> None:
        """Accepted."""
