"""Old tensor and storage types: ``torch.trn.FloatTensor`` and its kin."""

from __future__ import annotations

import numbers
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch._utils import classproperty
from torch.storage import _LegacyStorage, _warn_typed_storage_removal

TYPES = {
    "Double": torch.float64, "Float": torch.float32, "Half": torch.float16,
    "BFloat16": torch.bfloat16, "Long": torch.int64, "Int": torch.int32, "Short": torch.int16,
    "Char": torch.int8, "Byte": torch.uint8, "Bool": torch.bool,
}
_COMPLEX = {"ComplexFloat": torch.complex64, "ComplexDouble": torch.complex128}


class TensorType(type):
    """An old tensor type: what is an instance is a question of device, data type and layout."""

    # Tensor.type(kind) reads the C name, which has to be the whole one; Python sees the short one.
    @property
    def __name__(cls) -> str:
        return type.__dict__["__name__"].__get__(cls).rpartition(".")[2]

    def __instancecheck__(cls, instance) -> bool:
        return (isinstance(instance, torch.Tensor) and instance.device.type in ("trn", "cuda")
                and instance.is_trn and instance.dtype == cls.dtype
                and instance.layout == cls.layout)

    def __repr__(cls) -> str:
        return f"<class '{type.__dict__['__name__'].__get__(cls)}'>"


def construct(args: tuple, dtype: torch.dtype, device: Any = None) -> torch.Tensor:
    """What an old constructor makes of its arguments on trn: sizes, or values in one sequence."""
    device = torch.device("trn") if device is None else device
    if len(args) == 1 and not isinstance(args[0], (numbers.Integral, torch.Size)):
        return torch.tensor(args[0], dtype=dtype, device=device)
    size = args[0] if args and isinstance(args[0], torch.Size) else args
    return torch.empty(size if args else (0,), dtype=dtype, device=device)


def make_type(module: str, name: str, dtype: torch.dtype, layout: torch.layout,
              construct: Callable, doc: str) -> type:
    """An old type of tensors; construct(args, dtype, device) makes what calling it gives."""

    def new(cls, *args, device=None):
        return construct(args, dtype, device)

    return TensorType(f"{module}.{name}", (), {
        "__qualname__": name, "dtype": dtype, "layout": layout, "__new__": new,
        "__doc__": doc, "__module__": module})


def _make_tensor(name: str, dtype: torch.dtype) -> type:
    doc = f"``torch.empty`` or ``torch.tensor`` of {dtype} on trn, by its arguments."
    return make_type("torch.trn", name, dtype, torch.strided, construct, doc)


def _make_storage(name: str, dtype: torch.dtype) -> type:
    def get_dtype(cls):
        _warn_typed_storage_removal()
        return dtype

    return type(_LegacyStorage)(name, (_LegacyStorage,), {
        "__module__": "torch.trn", "dtype": classproperty(get_dtype),
        "_dtype": classproperty(lambda cls: dtype),
    })


NAMES: dict[str, type] = {
    f"{name}Tensor": _make_tensor(f"{name}Tensor", dtype) for name, dtype in TYPES.items()
}
NAMES |= {
    f"{name}Storage": _make_storage(f"{name}Storage", dtype)
    for name, dtype in (TYPES | _COMPLEX).items()
}


def register() -> None:
    """Puts the types where ``storage.type()`` and ``set_default_tensor_type`` look for them."""
    module = sys.modules["torch.trn"]
    for name, kind in NAMES.items():
        setattr(module, name, kind)
