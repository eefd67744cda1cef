"""Tensors of trn through torch.multiprocessing's queues and pipes.

Where the driver can share memory, both processes hold the same bytes, as with CUDA: the sender's
storage moves once to memory that can be mapped by others, and only a descriptor travels. Either
side's writes are seen by the other once its device has done them; the memory lives until the last
holder is gone. Elsewhere the values travel through shared memory of the host and arrive as a copy.
"""

from __future__ import annotations

import os
from multiprocessing.reduction import DupFd, ForkingPickler
from typing import Any

import torch
from torch.multiprocessing import reductions

from . import _C


def _key(fd: int) -> tuple[int, int]:
    found = os.fstat(fd)
    return found.st_dev, found.st_ino


def _storage(handle: Any, size: int, index: int) -> torch.UntypedStorage:
    """The storage behind a descriptor: this process's own, if it has it already."""
    fd = handle.detach()
    key = _key(fd)
    storage = reductions.storage_from_cache(torch.UntypedStorage, key)
    if storage is not None:
        os.close(fd)
        return storage
    storage = _C._open_shared_storage(fd, size, index)
    reductions.shared_cache[key] = reductions.StorageWeakRef(storage)
    return storage


def _finish(cls: type, tensor: torch.Tensor, requires_grad: bool) -> torch.Tensor:
    if issubclass(cls, torch.nn.Parameter):
        return torch.nn.Parameter(tensor, requires_grad=requires_grad)
    return tensor.requires_grad_(requires_grad)


def _rebuild_shared(cls: type, handle: Any, size: int, index: int, meta: tuple[Any, ...],
                    requires_grad: bool) -> torch.Tensor:
    dtype, shape, strides, offset, conj, neg = meta
    value = torch.empty(0, dtype=dtype, device=torch.device("trn", index))
    value.set_(_storage(handle, size, index), offset, shape, strides)
    if conj:
        value = value.conj()
    if neg:
        value = value._neg_view()
    return _finish(cls, value, requires_grad)


def _rebuild_copy(cls: type, host: torch.Tensor, index: int, requires_grad: bool) -> torch.Tensor:
    return _finish(cls, host.to(torch.device("trn", index)), requires_grad)


def _reduce(tensor: torch.Tensor) -> tuple[Any, ...]:
    """How a tensor is pickled for another process. Raises RuntimeError for one inside a graph of
    autograd, which cannot follow it, and for one that a captured graph uses where it is."""
    if type(tensor) not in (torch.Tensor, torch.nn.Parameter) or not tensor.is_trn:
        return reductions.reduce_tensor(tensor)
    if tensor.requires_grad and not tensor.is_leaf:
        raise RuntimeError(
            "Cowardly refusing to serialize non-leaf tensor which requires_grad, since autograd "
            "does not support crossing process boundaries.  If you just want to transfer the "
            "data, call detach() on the tensor before serializing (e.g., putting it on the queue)."
        )
    plain = tensor.layout == torch.strided
    storage = tensor.untyped_storage() if plain else None
    fd = _C._share_storage(storage) if plain else -1
    index = tensor.get_device()
    if fd < 0:
        return _rebuild_copy, (type(tensor), tensor.detach().cpu(), index, tensor.requires_grad)
    # What is queued has to be done before another process, whose queues know nothing of it, reads.
    torch.trn.synchronize(index)
    reductions.shared_cache[_key(fd)] = reductions.StorageWeakRef(storage)
    meta = (tensor.dtype, tuple(tensor.shape), tensor.stride(), tensor.storage_offset(),
            tensor.is_conj(), tensor.is_neg())
    return _rebuild_shared, (type(tensor), DupFd(fd), storage.nbytes(), index, meta,
                             tensor.requires_grad)


def register() -> None:
    """Tells Python's multiprocessing; done when torch_trn is imported."""
    for cls in (torch.Tensor, torch.nn.Parameter):
        ForkingPickler.register(cls, _reduce)
