"""apex.parallel over torch.nn's synchronised norms and data parallelism, LARC of our own."""

from __future__ import annotations

import torch
from torch.nn.modules.batchnorm import _BatchNorm


class DistributedDataParallel(torch.nn.parallel.DistributedDataParallel):
    """torch's, on the module's device; as in apex, buffers are each process's own.

    message_size is how many elements a bucket of gradients has; delay_allreduce also says that some
    parameters may get no gradient. Raises NotImplementedError where gradients are to be summed or
    buckets kept, ValueError for shared_param.
    """

    def __init__(self, module: torch.nn.Module, message_size: int = 10000000,
                 delay_allreduce: bool = False, shared_param=None, allreduce_trigger_params=None,
                 retain_allreduce_buffers=False, allreduce_always_fp32=False,
                 num_allreduce_streams=1, allreduce_communicators=None, gradient_average=True,
                 gradient_predivide_factor=1.0, gradient_average_split_factor=None, prof=False):
        if shared_param is not None:
            raise ValueError("shared_param is no longer supported as an option.")
        if not gradient_average:
            raise NotImplementedError("torch-trn's apex needs gradient_average=True")
        if retain_allreduce_buffers:
            raise NotImplementedError("torch-trn's apex needs retain_allreduce_buffers=False")
        super().__init__(module, broadcast_buffers=False, bucket_cap_mb=message_size * 4 / 2**20,
                         find_unused_parameters=delay_allreduce)


class SyncBatchNorm(torch.nn.SyncBatchNorm):
    """torch.nn.SyncBatchNorm with apex's arguments.

    With channel_last the channels are the input's last dimension instead of its second; with
    fuse_relu negative results become 0.
    """

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1,
                 affine: bool = True, track_running_stats: bool = True, process_group=None,
                 channel_last: bool = False, fuse_relu: bool = False):
        super().__init__(num_features, eps, momentum, affine, track_running_stats, process_group)
        self.channel_last, self.fuse_relu = channel_last, fuse_relu

    def forward(self, input: torch.Tensor, z: torch.Tensor | None = None) -> torch.Tensor:
        """The norm of input, plus z."""
        if self.channel_last:
            out = super().forward(input.movedim(-1, 1)).movedim(1, -1)
        else:
            out = super().forward(input)
        if z is not None:
            out = out + z
        return out.relu() if self.fuse_relu else out


def convert_syncbn_model(module: torch.nn.Module, process_group=None,
                         channel_last: bool = False) -> torch.nn.Module:
    """The module with a SyncBatchNorm, of the same parameters, for each batch norm in it."""
    made = module
    if isinstance(module, _BatchNorm):
        made = SyncBatchNorm(module.num_features, module.eps, module.momentum, module.affine,
                             module.track_running_stats, process_group, channel_last,
                             getattr(module, "fuse_relu", False))
        for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
            setattr(made, name, getattr(module, name))
        made.training = module.training
    for name, child in module.named_children():
        made.add_module(name, convert_syncbn_model(child, process_group, channel_last))
    return made


class LARC:
    """An optimizer whose gradients are first scaled, each tensor's by its weight's norm over its.

    trust_coefficient is a factor of that ratio, eps is added to its denominator. With clip the
    resulting rate is at most the optimizer's own, otherwise a factor of it. The optimizer's weight
    decay is added to the gradients before.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, trust_coefficient: float = 0.02,
                 clip: bool = True, eps: float = 1e-8):
        self.optim = optimizer
        self.trust_coefficient, self.clip, self.eps = trust_coefficient, clip, eps

    def __repr__(self) -> str:
        return repr(self.optim)

    @property
    def state(self) -> dict:
        """The optimizer's."""
        return self.optim.state

    @property
    def param_groups(self) -> list[dict]:
        """The optimizer's."""
        return self.optim.param_groups

    @param_groups.setter
    def param_groups(self, value) -> None:
        self.optim.param_groups = value

    def state_dict(self) -> dict:
        """The optimizer's."""
        return self.optim.state_dict()

    def load_state_dict(self, state_dict: dict) -> None:
        """Sets the optimizer's."""
        self.optim.load_state_dict(state_dict)

    def zero_grad(self, *args, **kwargs) -> None:
        """The optimizer's."""
        self.optim.zero_grad(*args, **kwargs)

    def add_param_group(self, param_group: dict) -> None:
        """Adds parameters to the optimizer's."""
        self.optim.add_param_group(param_group)

    def step(self) -> None:
        """Scales the gradients in place and takes the optimizer's step."""
        decays = [group.get("weight_decay", 0.0) for group in self.param_groups]
        try:
            for group, decay in zip(self.param_groups, decays):
                group["weight_decay"] = 0.0
                for p in group["params"]:
                    if p.grad is not None:
                        self._scale(p, group["lr"], decay)
            self.optim.step()
        finally:
            for group, decay in zip(self.param_groups, decays):
                group["weight_decay"] = decay

    @torch.no_grad()
    def _scale(self, p, rate, decay) -> None:
        weight, slope = p.norm(), p.grad.norm()
        trust = self.trust_coefficient * weight / (slope + weight * decay + self.eps)
        if self.clip:
            trust = (trust / rate).clamp(max=1.0)
        scaled = (p.grad + decay * p) * trust
        p.grad.copy_(torch.where((weight != 0) & (slope != 0), scaled, p.grad))
