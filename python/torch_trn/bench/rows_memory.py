"""Rows bound by memory: element-wise, copies, shapes, indexing, reductions, random fills."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F

from .row import Row, integers, rand


def _elementwise(tiny: bool) -> Iterator[Row]:
    large, cached = (4096, 256) if tiny else (16 << 20, 64 << 10)
    binary = {"add": torch.add, "mul": torch.mul}
    unary = {"exp": torch.exp, "gelu": F.gelu, "copy": torch.clone, "sqrt": torch.sqrt}
    for n, goal, where in ((large, 3.0, "large"), (cached, 1.0, "in cache")):
        group = f"element-wise, {where}"
        for name, f in binary.items():
            def make(device, f=f, n=n):
                a, b = rand(device, n), rand(device, n)
                return lambda: f(a, b)
            yield Row(group, f"{name} {n}", goal, make, n, 12.0 * n)
        for name, f in unary.items():
            def make(device, f=f, n=n):
                a = rand(device, n).abs_()
                return lambda: f(a)
            yield Row(group, f"{name} {n}", goal, make, n, 8.0 * n)

        def in_place(device, n=n):
            a, b = rand(device, n), rand(device, n)
            return lambda: a.mul_(b)
        yield Row(group, f"mul_ {n}", 1.0, in_place, n, 12.0 * n)

        def cast(device, n=n):
            a = rand(device, n)
            return lambda: a.to(torch.bfloat16)
        yield Row(group, f"to bfloat16 {n}", goal, cast, n, 6.0 * n)


def _shapes(tiny: bool) -> Iterator[Row]:
    n = 32 if tiny else 2048
    group = "shapes and indexing"
    heads = (2, 8, 2, 8) if tiny else (8, 512, 16, 64)
    cases = {
        "broadcast row": (lambda d: _pair(d, (n, n), (n,), torch.add), 8.0 * n * n),
        "broadcast column": (lambda d: _pair(d, (n, n), (n, 1), torch.add), 8.0 * n * n),
        "transpose": (lambda d: _one(d, (n, n), lambda x: x.t().contiguous()), 8.0 * n * n),
        "permute heads": (
            lambda d: _one(d, heads, lambda x: x.permute(0, 2, 1, 3).contiguous()),
            8.0 * torch.Size(heads).numel()),
        "to channels_last": (
            lambda d: _one(d, (2, n // 16, n // 16, n // 16),
                           lambda x: x.contiguous(memory_format=torch.channels_last)),
            16.0 * (n // 16) ** 3),
        "cat 4, dim 0": (lambda d: _one(d, (n, n // 4), lambda x: torch.cat([x] * 4)),
                         8.0 * n * n),
        "cat 4, dim 1": (lambda d: _one(d, (n, n // 4), lambda x: torch.cat([x] * 4, 1)),
                         8.0 * n * n),
        "roll 3, dim 1": (lambda d: _one(d, (n, n), lambda x: x.roll(3, 1)), 8.0 * n * n),
        "outer": (lambda d: _pair(d, (n,), (n,), torch.outer), 4.0 * n * n),
        "index_select": (lambda d: _indexed(d, n, lambda x, i: x.index_select(0, i)), 8.0 * n * n),
        "index x[i]": (lambda d: _indexed(d, n, lambda x, i: x[i]), 8.0 * n * n),
        "gather": (lambda d: _gathered(d, n, lambda x, i: x.gather(1, i)), 16.0 * n * n),
        "scatter_add": (lambda d: _gathered(d, n, lambda x, i: x.scatter_add(1, i, x)),
                        20.0 * n * n),
        "index_put accumulate": (
            lambda d: _indexed(d, n, lambda x, i: x.index_put((i,), x, accumulate=True)),
            16.0 * n * n),
        "embedding": (lambda d: _indexed(d, n, lambda x, i: F.embedding(i, x)), 8.0 * n * n),
        "embedding backward": (
            lambda d: _indexed(d, n, lambda x, i: torch.ops.aten.embedding_dense_backward(
                x, i, n, -1, False)), 8.0 * n * n),
    }
    for name, (make, size) in cases.items():
        yield Row(group, f"{name} {n}", 1.2, make, 0, size)


def _one(device, shape, f):
    x = rand(device, *shape)
    return lambda: f(x)


def _pair(device, left, right, f):
    x, y = rand(device, *left), rand(device, *right)
    return lambda: f(x, y)


def _indexed(device, n, f):
    x, i = rand(device, n, n), integers(device, n, n)
    return lambda: f(x, i)


def _gathered(device, n, f):
    x, i = rand(device, n, n), integers(device, n, n, n)
    return lambda: f(x, i)


def _reductions(tiny: bool) -> Iterator[Row]:
    n = 32 if tiny else 2048
    group = "reductions, scans, searches"
    read, both = 4.0 * n * n, 8.0 * n * n
    cases = {
        "sum": (lambda x: x.sum(), read), "sum dim 0": (lambda x: x.sum(0), read),
        "sum dim 1": (lambda x: x.sum(1), read), "mean dim 1": (lambda x: x.mean(1), read),
        "amax dim 0": (lambda x: x.amax(0), read), "amax dim 1": (lambda x: x.amax(1), read),
        "var dim 1": (lambda x: x.var(1), read), "norm": (lambda x: x.norm(), read),
        "argmax dim 1": (lambda x: x.argmax(1), read), "argmax": (lambda x: x.argmax(), read),
        "max dim 0": (lambda x: x.max(0), read), "logsumexp": (lambda x: x.logsumexp(1), read),
        "cumsum dim 1": (lambda x: x.cumsum(1), both),
        "cumsum dim 0": (lambda x: x.cumsum(0), both),
        "sort": (lambda x: x.sort(1), both), "topk 10": (lambda x: x.topk(10, 1), read),
        "nonzero": (lambda x: (x > 0).nonzero(), read),
    }
    for name, (f, size) in cases.items():
        yield Row(group, f"{name} {n}", 1.2, lambda d, f=f: _one(d, (n, n), f), n * n, size)

    def unique(device):
        i = integers(device, n, n * n // 16)
        return lambda: torch.unique(i)
    yield Row(group, f"unique {n * n // 16}", 1.2, unique, 0, n * n / 2)


def _random(tiny: bool) -> Iterator[Row]:
    n = 1024 if tiny else 4 << 20
    fills = {
        "uniform_": lambda x: x.uniform_(), "normal_": lambda x: x.normal_(),
        "bernoulli_": lambda x: x.bernoulli_(0.5), "exponential_": lambda x: x.exponential_(),
        "random_": lambda x: x.random_(),
    }
    for name, f in fills.items():
        def make(device, f=f):
            x = torch.empty(n, device=device)
            return lambda: f(x)
        yield Row("random fills", f"{name} {n}", 4.0, make, 0, 4.0 * n)
    yield Row("random fills", f"randint {n}", 4.0,
              lambda d: lambda: torch.randint(1000, (n,), device=d), 0, 8.0 * n)
    yield Row("random fills", f"randperm {n // 4}", 1.0,
              lambda d: lambda: torch.randperm(n // 4, device=d), 0, 2.0 * n)


def rows(tiny: bool) -> Iterator[Row]:
    """All rows bound by memory; small ones for tests."""
    for part in (_elementwise, _shapes, _reductions, _random):
        yield from part(tiny)
