"""Rows of attention, softmax, norms, losses and activations, both directions."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import torch
import torch.nn.functional as F

from .row import Row, backward, integers, rand, short


def _attention(tiny: bool) -> Iterator[Row]:
    batch, heads, length = (1, 2, 16) if tiny else (2, 8, 1024)
    for dtype in (torch.float32, torch.bfloat16):
        for size, causal in ((64, False), (64, True), (128, True)):
            def make(device, *, grad, size=size, causal=causal, dtype=dtype):
                q, k, v = (rand(device, batch, heads, length, size, dtype=dtype, grad=grad)
                           for _ in range(3))

                def attend():
                    return F.scaled_dot_product_attention(q, k, v, is_causal=causal)
                return backward(attend(), [q, k, v]) if grad else attend

            flops = 4.0 * batch * heads * length * length * size * (0.5 if causal else 1)
            name = f"{batch}x{heads}x{length}x{size} {'causal ' if causal else ''}{short(dtype)}"
            yield Row("attention", f"forward {name}", 2.0, lambda d, m=make: m(d, grad=False),
                      flops, 0, short(dtype))
            yield Row("attention", f"backward {name}", 1.5, lambda d, m=make: m(d, grad=True),
                      2.5 * flops, 0, short(dtype))


def rows(tiny: bool) -> Iterator[Row]:
    """All of these rows; small ones for tests."""
    yield from _attention(tiny)
    n, c = (16, 32) if tiny else (2048, 1024)
    images = (2, 8, 4, 4) if tiny else (16, 64, 56, 56)
    functions = {
        "softmax": (lambda x: x.softmax(-1), (n, c)),
        "softmax dim 0": (lambda x: x.softmax(0), (n, c)),
        "log_softmax": (lambda x: x.log_softmax(-1), (n, c)),
        "layer_norm": (lambda x: F.layer_norm(x, (c,), *[_ones(x.device, x.dtype, c)] * 2), (n, c)),
        "rms_norm": (lambda x: F.rms_norm(x, (c,), _ones(x.device, x.dtype, c)), (n, c)),
        "group_norm": (lambda x: F.group_norm(x, 8), images),
        "batch_norm": (lambda x: F.batch_norm(x, None, None, training=True), images),
        "cross_entropy": (lambda x: F.cross_entropy(x, _labels(x.device, c, n)), (n, c)),
        "gelu": (F.gelu, (n, c)), "gelu tanh": (lambda x: F.gelu(x, approximate="tanh"), (n, c)),
        "silu": (F.silu, (n, c)), "relu": (F.relu, (n, c)), "exp": (torch.exp, (n, c)),
        "tanh": (torch.tanh, (n, c)), "sigmoid": (torch.sigmoid, (n, c)),
        "dropout": (lambda x: F.dropout(x, 0.1), (n, c)),
    }
    for dtype in (torch.float32, torch.bfloat16):
        for name, (f, shape) in functions.items():
            size = torch.Size(shape).numel() * dtype.itemsize

            def forward(device, f=f, shape=shape, dtype=dtype):
                x = rand(device, *shape, dtype=dtype)
                f(x)
                return lambda: f(x)

            def back(device, f=f, shape=shape, dtype=dtype):
                x = rand(device, *shape, dtype=dtype, grad=True)
                return backward(f(x), [x])

            for kind, make, passes in (("forward", forward, 2), ("backward", back, 3)):
                yield Row("norms, losses, activations", f"{name} {short(dtype)} {kind}", 1.5, make,
                          0, passes * size)



@functools.cache
def _ones(device: torch.device, dtype: torch.dtype, n: int) -> torch.Tensor:
    return torch.ones(n, dtype=dtype, device=device)


@functools.cache
def _labels(device: torch.device, high: int, n: int) -> torch.Tensor:
    return integers(device, high, n)
