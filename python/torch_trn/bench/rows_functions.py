"""Rows of mathematical functions, pooling, Fourier transforms and sums by index."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F

from .row import Row, backward, integers, rand, short


def _functions(tiny: bool) -> Iterator[Row]:
    n = 256 if tiny else 1 << 20
    unary = {
        "log1p": lambda x: x.abs().log1p(), "log2": lambda x: x.abs().log2(), "sin": torch.sin,
        "cos": torch.cos, "tan": torch.tan, "atan": torch.atan, "sinh": torch.sinh,
        "erf": torch.erf, "erfinv": lambda x: x.clamp(-0.9, 0.9).erfinv(),
        "softplus": F.softplus, "log_sigmoid": F.logsigmoid, "elu": F.elu,
        "pow 1.7": lambda x: x.abs() ** 1.7,
    }
    binary = {"atan2": torch.atan2, "fmod": torch.fmod, "remainder": torch.remainder,
              "hypot": torch.hypot, "bce with logits": F.binary_cross_entropy_with_logits}
    for dtype in (torch.float32, torch.bfloat16):
        for name, f in unary.items():
            def one(device, f=f, dtype=dtype):
                x = rand(device, n, dtype=dtype)
                return lambda: f(x)
            yield Row("functions", f"{name} {short(dtype)}", 1.0, one, 0, 2 * n * dtype.itemsize)
        for name, f in binary.items():
            def two(device, f=f, dtype=dtype):
                x, y = rand(device, n, dtype=dtype), rand(device, n, dtype=dtype)
                return lambda: f(x, y)
            yield Row("functions", f"{name} {short(dtype)}", 1.0, two, 0, 3 * n * dtype.itemsize)


def _pooling(tiny: bool) -> Iterator[Row]:
    shape = (1, 4, 8, 8) if tiny else (8, 64, 112, 112)
    kinds = {"max 3x3 stride 2": lambda x: F.max_pool2d(x, 3, 2, 1),
             "max 2x2": lambda x: F.max_pool2d(x, 2), "average 2x2": lambda x: F.avg_pool2d(x, 2),
             "adaptive average 7x7": lambda x: F.adaptive_avg_pool2d(x, 7)}
    layouts = {"NCHW": torch.contiguous_format, "channels_last": torch.channels_last}
    for dtype in (torch.float32, torch.bfloat16):
        size = torch.Size(shape).numel() * dtype.itemsize
        for layout, memory in layouts.items():
            for name, f in kinds.items():
                def make(device, *, grad, f=f, memory=memory, dtype=dtype):
                    x = rand(device, *shape, dtype=dtype).contiguous(memory_format=memory)
                    x.requires_grad_(grad)
                    return backward(f(x), [x]) if grad else lambda: f(x)
                for grad, kind in ((False, "forward"), (True, "backward")):
                    yield Row("pooling", f"{name} {layout} {short(dtype)} {kind}", 1.0,
                              lambda d, m=make, g=grad: m(d, grad=g), 0, 1.25 * size)


def _sums_by_index(tiny: bool) -> Iterator[Row]:
    nodes, edges = (16, 64) if tiny else (1 << 15, 1 << 17)
    for features in (1, 16, 64):
        def make(device, features=features):
            shape = (features,) if features > 1 else ()
            x, index = rand(device, edges, *shape), integers(device, nodes, edges)
            out = torch.zeros(nodes, *shape, device=device)
            return lambda: out.index_add_(0, index, x)
        yield Row("sums by index", f"index_add rows of {features}", 1.0, make, 0,
                  12.0 * edges * features)


def _transforms(tiny: bool) -> Iterator[Row]:
    n = 16 if tiny else 1024
    for name, f in {"fft": torch.fft.fft, "rfft": torch.fft.rfft,
                    "fft dim 0": lambda x: torch.fft.fft(x, dim=0)}.items():
        def make(device, f=f):
            x = rand(device, n, n)
            return lambda: f(x)
        yield Row("Fourier transforms", f"{name} {n}x{n}", 1.0, make, 0, 12.0 * n * n)


def rows(tiny: bool) -> Iterator[Row]:
    """All of these rows; small ones for tests."""
    yield from _functions(tiny)
    yield from _pooling(tiny)
    yield from _sums_by_index(tiny)
    yield from _transforms(tiny)
