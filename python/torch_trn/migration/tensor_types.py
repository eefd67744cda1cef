"""The old names of tensor types in redirected programs: "torch.cuda.FloatTensor" is trn's."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._device import _device_constructors

from .. import _C
from ..trn import legacy
from .patch import Patch


def answering(original: Callable) -> Callable:
    """Tensor.type, which takes CUDA's names as texts and gives them."""

    @functools.wraps(original)
    def type(self, dtype=None, non_blocking=False, **kwargs):  # noqa: A001
        if dtype is None:
            return original(self).replace("torch.trn.", "torch.cuda.")
        if isinstance(dtype, str) and dtype.startswith("torch.cuda."):
            dtype = "torch.trn." + dtype.removeprefix("torch.cuda.")
        return original(self, dtype, non_blocking, **kwargs)

    return type


def _of_trn(kind: Any) -> Any:
    """The type that a name or a type of CUDA means; None for the CPU's."""
    if not isinstance(kind, str):
        return kind if kind in legacy.NAMES.values() else None
    prefix, _, name = kind.rpartition(".")
    return legacy.NAMES.get(name) if prefix in ("torch.cuda", "torch.trn") else None


def _constructor(original: Callable) -> Callable:
    """torch.Tensor(...), which follows a default of CUDA's where it makes new memory."""

    def new(cls, *args, **kwargs):
        given = (torch.Tensor, torch.UntypedStorage, torch.TypedStorage)
        if kwargs or (args and isinstance(args[0], given)):
            return original(cls, *args, **kwargs)
        made = legacy.construct(args, torch.get_default_dtype())
        return made if cls is torch.Tensor else made.as_subclass(cls)

    return new


def _in_every_thread(original: Callable) -> Callable:
    """A function that makes tensors, which follows a default of CUDA's in any thread: the default
    device is a mode, and a mode is of the thread that set it."""

    @functools.wraps(original)
    def make(*args, **kwargs):
        if kwargs.get("device") is None and not torch._C._len_torch_function_stack():
            kwargs["device"] = "cuda"
        return original(*args, **kwargs)

    return make


class DefaultType:
    """set_default_tensor_type: a default of a device and a data type for one of CUDA's types.

    Applied and undone as a Patch; undone, the default device is no longer trn.
    """

    def __init__(self) -> None:
        self._function = Patch(torch, "set_default_tensor_type",
                               self._wrap(torch.set_default_tensor_type))
        self._makers: list[Patch] = []

    def apply(self) -> None:
        self._function.apply()

    def undo(self) -> None:
        self._back_to_cpu()
        self._function.undo()

    def _wrap(self, original: Callable) -> Callable:
        redirection = _C._redirection_id("torch.set_default_tensor_type")

        @functools.wraps(original)
        def set_default_tensor_type(t):
            kind = _of_trn(t)
            if kind is not None:
                _C._note_redirection(redirection)
                torch.set_default_dtype(kind.dtype)
                self._to_trn()
                return
            original(t)
            self._back_to_cpu()

        return set_default_tensor_type

    def _to_trn(self) -> None:
        # Looks at the constructor when it is imported, as the first optimizer does.
        import torch._dynamo.polyfills.tensor

        torch.set_default_device("cuda")
        if self._makers:
            return
        self._makers.append(Patch(torch.Tensor, "__new__",
                                  staticmethod(_constructor(torch.Tensor.__new__))))
        for function in _device_constructors():
            if vars(torch).get(function.__name__) is function:
                self._makers.append(Patch(torch, function.__name__, _in_every_thread(function)))
        for patch in self._makers:
            patch.apply()

    def _back_to_cpu(self) -> None:
        if self._makers:
            for patch in reversed(self._makers):
                patch.undo()
            self._makers.clear()
            torch.set_default_device(None)
