"""Collectives among one process's devices, for DataParallel, torch.cuda.comm and nccl: copies.

Every function stands where torch's CUDA build has a native one, and keeps its signature.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import torch


def _device(index: int) -> torch.device:
    return torch.device("cpu") if index == -1 else torch.device("trn", index)


def _copy(tensor: torch.Tensor, index: int) -> torch.Tensor:
    return tensor.to(_device(index), non_blocking=True)


def _broadcast(tensor, devices):
    return tuple(_copy(tensor, d) for d in devices)


def _broadcast_out(tensor, out):
    for target in out:
        target.copy_(tensor, non_blocking=True)
    return tuple(out)


def _broadcast_coalesced(tensors, devices, buffer_size):
    # One copy a tensor: copies between devices have no fixed cost worth a common buffer.
    return [tensors if tensors and tensors[0].get_device() == d
            else [_copy(t, d) for t in tensors] for d in devices]


def _pieces(tensor, count, chunk_sizes, dim):
    if chunk_sizes:
        return tensor.split(list(chunk_sizes), dim)
    return tensor.chunk(count, dim)


def _scatter(tensor, devices, chunk_sizes, dim, streams=None):
    return tuple(_copy(piece.contiguous(), d)
                 for piece, d in zip(_pieces(tensor, len(devices), chunk_sizes, dim), devices))


def _scatter_out(tensor, out, dim, streams=None):
    sizes = [t.size(dim) for t in out]
    for target, piece in zip(out, tensor.split(sizes, dim)):
        target.copy_(piece, non_blocking=True)
    return tuple(out)


def _gather(tensors, dim, destination):
    index = torch._C._accelerator_getDeviceIndex() if destination is None else destination
    return torch.cat([_copy(t, index) for t in tensors], dim)


def _gather_out(tensors, out, dim):
    return out.copy_(torch.cat([t.to(out.device) for t in tensors], dim))


NATIVE = {f.__name__: f for f in (_broadcast, _broadcast_out, _broadcast_coalesced, _scatter,
                                  _scatter_out, _gather, _gather_out)}

_REDUCE = {0: torch.add, 1: torch.mul, 2: torch.maximum, 3: torch.minimum}


def _reduced(inputs: Sequence[torch.Tensor], op: int, device: torch.device) -> torch.Tensor:
    return functools.reduce(_REDUCE[op], [t.to(device) for t in inputs])


def all_reduce(inputs, outputs=None, op: int = 0, streams: Any = None, comms: Any = None) -> None:
    """Every output gets the reduction of all inputs."""
    total = _reduced(inputs, op, inputs[0].device)
    _broadcast_out(total, inputs if outputs is None else outputs)


def reduce(inputs, output=None, root: int = 0, op: int = 0, streams: Any = None, comms: Any = None,
           *, outputs: Any = None) -> None:
    """The output (or the root's input) gets the reduction."""
    target = outputs[root] if outputs is not None else output if output is not None \
        else inputs[root]
    target.copy_(_reduced(inputs, op, target.device))


def broadcast(inputs, root: int = 0, streams: Any = None, comms: Any = None) -> None:
    """Every tensor gets the root's values."""
    _broadcast_out(inputs[root], [t for i, t in enumerate(inputs) if i != root])


def all_gather(inputs, outputs, streams: Any = None, comms: Any = None) -> None:
    """Every output gets all inputs, one after another."""
    _broadcast_out(_gather([t.flatten() for t in inputs], 0, inputs[0].get_device()),
                   [t.view(-1) for t in outputs])


def reduce_scatter(inputs, outputs, op: int = 0, streams: Any = None, comms: Any = None) -> None:
    """Output i gets part i of the reduction."""
    _scatter_out(_reduced(inputs, op, inputs[0].device).flatten(),
                 [t.view(-1) for t in outputs], 0)


def is_available(tensors) -> bool:
    """Whether these tensors can take part: dense, contiguous, each on a device of its own."""
    devices = [t.get_device() for t in tensors if t.is_cuda and not t.is_sparse
               and t.is_contiguous()]
    return len(devices) == len(tensors) and len(set(devices)) == len(devices)


def version() -> tuple[int, int, int]:
    """What programs that ask for a lowest NCCL hear; there is none."""
    return 2, 27, 3


NCCL = {f.__name__: f for f in (all_reduce, reduce, broadcast, all_gather, reduce_scatter,
                                is_available, version)}
