"""The old names of tensor types in redirected programs: "torch.cuda.FloatTensor" is trn's."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch

from .. import _C
from ..trn import legacy


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


def by_default(original: Callable) -> Callable:
    """set_default_tensor_type: PyTorch's default of a device and a data type for one of CUDA's."""
    redirection = _C._redirection_id("torch.set_default_tensor_type")
    is_set = False

    @functools.wraps(original)
    def set_default_tensor_type(t):
        nonlocal is_set
        kind = _of_trn(t)
        if kind is not None:
            _C._note_redirection(redirection)
            torch.set_default_dtype(kind.dtype)
            torch.set_default_device("cuda")
            is_set = True
            return
        original(t)
        if is_set:
            torch.set_default_device(None)
            is_set = False

    return set_default_tensor_type
