"""The one table of what is replaced in Python while CUDA is redirected.

``torch.cuda`` and its submodules get the function of the same name of ``torch.trn``, name by name;
below that stand the few places that need more than a name.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.backends.cudnn
import torch.cuda.memory
import torch.cuda.nvtx
import torch.cuda.profiler
import torch.cuda.random
import torch.cuda.streams

from .. import _C, trn

_MISSING = object()


@dataclass
class Patch:
    """One attribute and what it is while CUDA is redirected."""

    owner: Any
    name: str
    value: Any
    before: Any = _MISSING

    def apply(self) -> None:
        self.before = self.owner.__dict__.get(self.name, _MISSING)
        setattr(self.owner, self.name, self.value)

    def undo(self) -> None:
        if self.before is _MISSING:
            delattr(self.owner, self.name)
        else:
            setattr(self.owner, self.name, self.before)


def counted(name: str, function):
    """``function``, counted as a redirection of ``name``."""

    @functools.wraps(function)
    def redirected(*args, **kwargs):
        _C._note_redirection(name)
        return function(*args, **kwargs)

    return redirected


def _trn_name(device_type: Any) -> Any:
    """"cuda" and "cuda:1" as autocast knows them: "trn"."""
    if isinstance(device_type, str) and device_type.split(":")[0] == "cuda":
        return "trn"
    return device_type


def _for_trn(name: str, function):
    """A function whose first argument (or ``device_type``) names a device type, CUDA's if none."""

    @functools.wraps(function)
    def redirected(*args, **kwargs):
        if "device_type" in kwargs:
            kwargs["device_type"] = _trn_name(kwargs["device_type"])
        elif args and isinstance(args[0], str):
            args = (_trn_name(args[0]), *args[1:])
        else:
            args = ("trn", *args)  # the old forms without a device mean CUDA
        return function(*args, **kwargs)

    return redirected


def _tensor_cuda(self, device=None, non_blocking=False, memory_format=torch.preserve_format):
    """Tensor.cuda: the tensor on trn."""
    index = trn._utils._get_device_index(device, optional=True)
    return self.to(torch.device("trn", index), non_blocking=non_blocking,
                   memory_format=memory_format)


def _autocast_init(original):
    @functools.wraps(original)
    def __init__(self, device_type, *args, **kwargs):  # noqa: N807
        if _trn_name(device_type) != device_type:
            _C._note_redirection("torch.autocast")
        original(self, _trn_name(device_type), *args, **kwargs)

    return __init__


# Names of torch.cuda that stay what they are: torch.cuda.amp works through torch.amp.
_KEPT = {"amp", "memory", "nvtx", "profiler", "random", "streams", "legacy", "report"}
# Private ones that torch itself or programs call.
_PRIVATE = {"_is_in_bad_fork", "_lazy_call", "_lazy_init", "_sleep", "_snapshot",
            "_dump_snapshot", "_record_memory_history", "_get_generator", "_set_stream_by_id"}


def _twins(cuda_module, trn_module, label: str) -> Iterator[Patch]:
    for name in dir(trn_module):
        if name in _KEPT or (name.startswith("_") and name not in _PRIVATE):
            continue
        if name not in cuda_module.__dict__:
            continue
        value = getattr(trn_module, name)
        if inspect.ismodule(value) or value is getattr(cuda_module, name):
            continue
        if inspect.isclass(value):
            # The class itself stands in, so that isinstance holds.
            yield Patch(cuda_module, name, value)
        elif callable(value):
            yield Patch(cuda_module, name,
                        value if name.startswith("_") else counted(f"{label}.{name}", value))


def _classes() -> Iterator[Patch]:
    yield Patch(trn.device, "__init__", counted("torch.cuda.device", trn.device.__init__))
    made = trn.Event.__new__
    yield Patch(trn.Event, "__new__", staticmethod(counted("torch.cuda.Event", made)))


def patches() -> Iterator[Patch]:
    """Everything that is replaced, in the order of application."""
    cuda = torch.cuda
    yield from _twins(cuda, trn, "torch.cuda")
    for part in ("memory", "nvtx", "profiler", "random", "streams"):
        yield from _twins(getattr(cuda, part), getattr(trn, part), f"torch.cuda.{part}")
    yield from _classes()
    yield Patch(cuda, "default_generators", trn.random.default_generators())
    yield Patch(cuda, "has_half", True)

    yield Patch(torch.backends.cudnn, "is_acceptable", lambda tensor: False)

    yield Patch(torch.Tensor, "cuda", counted("Tensor.cuda", _tensor_cuda))
    # A trn device says "cuda" now, so torch's own is_trn would say False.
    is_trn = property(lambda self: self.device.type == "cuda")
    yield Patch(torch.Tensor, "is_trn", is_trn)
    yield Patch(torch.Tensor, "is_cuda", is_trn)
    yield Patch(torch.nn.Module, "cuda", counted("Module.cuda", torch.nn.Module.cuda))

    yield Patch(torch.amp.autocast, "__init__", _autocast_init(torch.amp.autocast.__init__))
    yield Patch(torch.amp.GradScaler, "__init__",
                counted("torch.amp.GradScaler", torch.amp.GradScaler.__init__))
    for name in ("is_autocast_enabled", "set_autocast_enabled", "get_autocast_dtype",
                 "set_autocast_dtype"):
        yield Patch(torch, name, _for_trn(name, getattr(torch, name)))
    yield Patch(torch, "get_autocast_gpu_dtype", lambda: torch._C.get_autocast_dtype("trn"))
    yield Patch(torch, "set_autocast_gpu_dtype",
                lambda dtype: torch._C.set_autocast_dtype("trn", dtype))
