"""Memory formats of convolutions for tracers: PyTorch's rule knows no device beyond its own."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch._prims_common import suggest_memory_format
from torch._subclasses import fake_impls

_FORWARD = (torch.ops.aten.convolution.default, torch.ops.aten._convolution.default,
            torch.ops.aten._convolution.deprecated)
_BACKWARD = torch.ops.aten.convolution_backward.default


def _formats(arguments: dict[str, Any], backward: bool) -> tuple[torch.memory_format, ...]:
    # As csrc/ops/convolution.cpp lays its results out: channels last if an operand has them so.
    image, weight = arguments["input"], arguments["weight"]
    last = torch.channels_last_3d if image.dim() == 5 else torch.channels_last
    asked = [suggest_memory_format(t) if t.dim() >= 4 else torch.contiguous_format
             for t in (image, weight)]
    result = last if last in asked else torch.contiguous_format
    return (result, asked[1]) if backward else (result,)


def _for_trn(original: Callable) -> Callable:
    @functools.wraps(original)
    def traced(mode, func, *args: Any, **kwargs: Any):
        out = original(mode, func, *args, **kwargs)
        backward = func is _BACKWARD
        results = list(out) if backward else [out]
        first = next((t for t in results if t is not None), None)
        # torch.device: inside migration mode trn's own name is "cuda".
        if first is None or first.device.type != torch.device("trn").type:
            return out
        _, arguments = fake_impls._normalize_function_or_error(
            func, args=args, kwargs=kwargs, normalize_to_only_use_kwargs=True)
        with mode:
            for i, wanted in enumerate(_formats(arguments, backward)):
                if results[i] is not None and results[i].dim() >= 4:
                    results[i] = results[i].contiguous(memory_format=wanted)
        return tuple(results) if backward else results[0]

    return traced


def register() -> None:
    """Puts the rule behind PyTorch's own, for tensors of trn."""
    table = fake_impls.op_implementations_dict
    for op in (*_FORWARD, _BACKWARD):
        table[op] = _for_trn(table[op])
