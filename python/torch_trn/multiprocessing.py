"""Tensors of trn through torch.multiprocessing's queues and pipes.

The values travel through shared memory of the host: the receiver gets a tensor of its own on the
same device, ordered after all that the sender had queued. Writing to it changes nothing at the
sender's, unlike with CUDA's shared memory.
"""

from __future__ import annotations

from multiprocessing.reduction import ForkingPickler
from typing import Any

import torch
from torch.multiprocessing import reductions


def _rebuild(cls: type, host: torch.Tensor, index: int, requires_grad: bool) -> torch.Tensor:
    value = host.to(torch.device("trn", index))
    if issubclass(cls, torch.nn.Parameter):
        return torch.nn.Parameter(value, requires_grad=requires_grad)
    return value.requires_grad_(requires_grad)


def _reduce(tensor: torch.Tensor) -> tuple[Any, ...]:
    """How a tensor is pickled for another process. Raises RuntimeError for one inside a graph of
    autograd, which cannot follow it."""
    if type(tensor) not in (torch.Tensor, torch.nn.Parameter) or not tensor.is_trn:
        return reductions.reduce_tensor(tensor)
    if tensor.requires_grad and not tensor.is_leaf:
        raise RuntimeError(
            "Cowardly refusing to serialize non-leaf tensor which requires_grad, since autograd "
            "does not support crossing process boundaries.  If you just want to transfer the "
            "data, call detach() on the tensor before serializing (e.g., putting it on the queue)."
        )
    host = tensor.detach().cpu()
    return _rebuild, (type(tensor), host, tensor.get_device(), tensor.requires_grad)


def register() -> None:
    """Tells Python's multiprocessing; done when torch_trn is imported."""
    for cls in (torch.Tensor, torch.nn.Parameter):
        ForkingPickler.register(cls, _reduce)
