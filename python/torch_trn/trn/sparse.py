"""Old types of sparse tensors, as torch.cuda.sparse: ``torch.trn.sparse.FloatTensor``, its kin."""

from __future__ import annotations

import numbers
from typing import Any

import torch

from .legacy import TYPES, make_type

__all__ = [f"{name}Tensor" for name in TYPES if name != "Bool"]  # CUDA has none of bool either


def _construct(args: tuple, dtype: torch.dtype, device: Any = None) -> torch.Tensor:
    """What an old constructor makes of indices and values, with or without sizes, or of sizes."""
    options = {"dtype": dtype, "device": torch.device("trn") if device is None else device}
    if len(args) in (2, 3) and all(isinstance(a, torch.Tensor) for a in args[:2]):
        return torch.sparse_coo_tensor(*args, **options)
    sizes = args[0] if len(args) == 1 and isinstance(args[0], torch.Size) else args
    if not all(isinstance(size, numbers.Integral) for size in sizes):
        raise TypeError("an old type of sparse tensors takes (indices, values), (indices, values, "
                        "sizes) or sizes; torch.sparse_coo_tensor takes more")
    return torch.sparse_coo_tensor(tuple(sizes) or (0,), **options)


def _make(name: str, dtype: torch.dtype) -> type:
    doc = f"``torch.sparse_coo_tensor`` of {dtype} on trn."
    return make_type("torch.trn.sparse", name, dtype, torch.sparse_coo, _construct, doc)


globals().update({name: _make(name, TYPES[name.removesuffix("Tensor")]) for name in __all__})
