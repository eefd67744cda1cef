"""Operators that a program registers for CUDA: they are registered for trn."""

from __future__ import annotations

import functools

import torch

from . import asking

# CUDA's dispatch keys and trn's.
_KEYS = {prefix + "CUDA": prefix + "PrivateUse1"
         for prefix in ("", "Autograd", "Autocast", "Sparse", "SparseCsr", "Quantized")}


def _has_one(namespace: str, op_name, key: str) -> bool:
    """Whether an operator that is not PyTorch's own has a kernel for trn already."""
    if isinstance(op_name, torch._ops.OpOverload):
        name = op_name.name()
    elif isinstance(op_name, str) and namespace != "aten":
        name = op_name if "::" in op_name else f"{namespace}::{op_name}"
    else:
        return False
    return not name.startswith("aten::") \
        and torch._C._dispatch_has_kernel_for_dispatch_key(name, key)


def _below_autocast(kernel):
    """A kernel for autocast that leaves out CUDA's key, as torch.library's do, would come again."""
    if kernel is torch.library.fallthrough_kernel:
        return kernel
    autocast = torch._C.DispatchKeySet(torch._C.DispatchKey.AutocastPrivateUse1)

    @functools.wraps(kernel)
    def below(*args, **kwargs):
        with torch._C._ExcludeDispatchKeyGuard(autocast):
            return kernel(*args, **kwargs)

    return below


def for_trn(original):
    """torch.library.Library.impl with CUDA's dispatch keys meaning trn's."""
    note = asking.noting("torch.library.impl")

    @functools.wraps(original)
    def impl(self, op_name, fn, dispatch_key="", **kwargs):
        key = dispatch_key or self.dispatch_key
        # A library of one key takes no other: what it registers is CUDA's own.
        if key in _KEYS and self.dispatch_key not in _KEYS \
                and not _has_one(self.ns, op_name, _KEYS[key]):
            note()
            if key == "AutocastCUDA":
                fn = _below_autocast(fn)
            key = _KEYS[key]
        return original(self, op_name, fn, key, **kwargs)

    return impl
