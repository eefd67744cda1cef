"""Rows of matrix products."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F

from .row import Row, rand, short

HALVES = (torch.bfloat16, torch.float16)


def _mm(group: str, goal: float, m: int, n: int, k: int, dtype, precision="highest") -> Row:
    def make(device):
        a, b = rand(device, m, k, dtype=dtype), rand(device, k, n, dtype=dtype)
        out = torch.empty(m, n, dtype=dtype, device=device)
        return lambda: torch.mm(a, b, out=out)

    size = dtype.itemsize
    return Row(group, f"mm {m}x{k}x{n} {short(dtype)}", goal, make, 2.0 * m * n * k,
               size * (m * k + k * n + m * n), short(dtype), precision)


def _linear(group: str, goal: float, tokens: int, k: int, n: int, dtype,
            precision="highest") -> Row:
    def make(device):
        x, w = rand(device, tokens, k, dtype=dtype), rand(device, n, k, dtype=dtype)
        bias = rand(device, n, dtype=dtype)
        return lambda: F.linear(x, w, bias)

    size = dtype.itemsize
    return Row(group, f"linear {tokens}x{k}->{n} {short(dtype)}", goal, make, 2.0 * tokens * n * k,
               size * (tokens * k + k * n + tokens * n), short(dtype), precision)


def _linear_training(group: str, goal: float, tokens: int, k: int, n: int, dtype) -> Row:
    def make(device):
        x, w = rand(device, tokens, k, dtype=dtype, grad=True), rand(device, n, k, dtype=dtype,
                                                                     grad=True)
        grad = rand(device, tokens, n, dtype=dtype)
        return lambda: torch.autograd.grad(F.linear(x, w), [x, w], grad)

    size = dtype.itemsize
    return Row(group, f"linear fwd+bwd {tokens}x{k}->{n} {short(dtype)}", goal, make,
               6.0 * tokens * n * k, 3 * size * (tokens * k + k * n + tokens * n), short(dtype))


def _bmm(group: str, goal: float, batch: int, m: int, k: int, n: int, dtype) -> Row:
    def make(device):
        a, b = rand(device, batch, m, k, dtype=dtype), rand(device, batch, k, n, dtype=dtype)
        return lambda: torch.bmm(a, b)

    return Row(group, f"bmm {batch}x{m}x{k}x{n} {short(dtype)}", goal, make,
               2.0 * batch * m * n * k, dtype.itemsize * batch * (m * k + k * n + m * n),
               short(dtype))


def _int8(goal: float, m: int, n: int, k: int) -> Iterator[Row]:
    group = "int8 and weight-only products"

    def quantized(device, *shape):
        return (rand(device, *shape) * 40).clamp(-127, 127).to(torch.int8)

    def int_mm(device):
        a, b = quantized(device, m, k), quantized(device, k, n)
        return lambda: torch._int_mm(a, b)

    yield Row(group, f"_int_mm {m}x{k}x{n}", goal, int_mm, 2.0 * m * n * k,
              m * k + k * n + 4 * m * n, "i8")
    for tokens in (1, 32):
        def int8(device, tokens=tokens):
            x, w = rand(device, tokens, k, dtype=torch.bfloat16), quantized(device, n, k)
            scales = rand(device, n, dtype=torch.bfloat16)
            return lambda: torch._weight_int8pack_mm(x, w, scales)

        yield Row(group, f"_weight_int8pack_mm {tokens}x{k}->{n}", goal, int8,
                  2.0 * tokens * n * k, k * n + 2 * tokens * (k + n), "bf16")

        def int4(device, tokens=tokens):
            x = rand(device, tokens, k, dtype=torch.bfloat16)
            scale_and_zero = rand(device, k // 64, n, 2, dtype=torch.bfloat16)
            codes = torch.randint(16, (n, k), generator=torch.Generator().manual_seed(4))
            if device.type == "cpu":
                w = torch._convert_weight_to_int4pack_for_cpu(codes.int(), 2)
                return lambda: torch._weight_int4pack_mm_for_cpu(x, w, 64, scale_and_zero)
            bytes_ = (codes[:, ::2] << 4 | codes[:, 1::2]).to(torch.uint8).to(device)
            w = torch._convert_weight_to_int4pack(bytes_, 2)
            return lambda: torch._weight_int4pack_mm(x, w, 64, scale_and_zero)

        yield Row(group, f"_weight_int4pack_mm {tokens}x{k}->{n}", goal, int4,
                  2.0 * tokens * n * k, k * n / 2 + 2 * tokens * (k + n), "bf16")


def rows(tiny: bool) -> Iterator[Row]:
    """All rows of matrix products; small ones for tests."""
    f32, bf16 = torch.float32, torch.bfloat16
    sizes = (16,) if tiny else (512, 1023, 1024, 1025, 2048, 4096)
    tokens, wide = (8, 24) if tiny else (2048, 1024)
    group = "float32 products, highest"
    for n in sizes:
        yield _mm(group, 2.0, n, n, n, f32)
    yield _linear(group, 2.0, tokens, wide, 4 * wide, f32)
    yield _linear_training(group, 2.0, tokens, wide // 2, 2 * wide, f32)
    yield _bmm(group, 2.0, 8 if tiny else 48, wide // 4, 8 if tiny else 64, wide // 4, f32)
    yield _bmm(group, 2.0, 4 if tiny else 16, sizes[0], sizes[0], sizes[0], f32)
    group = "float32 products, high"
    for n in sizes[-3:]:
        yield _mm(group, 3.0, n, n, n, f32, "high")
    yield _linear(group, 3.0, tokens, wide, 4 * wide, f32, "high")
    group = "half products"
    for dtype in HALVES:
        for n in sizes if dtype == bf16 else sizes[-2:-1]:
            yield _mm(group, 1.5, n, n, n, dtype)
        yield _linear(group, 1.5, tokens, wide, 4 * wide, dtype)
        yield _bmm(group, 1.5, 8 if tiny else 48, wide // 4, 8 if tiny else 64, wide // 4, dtype)
    yield _linear_training(group, 1.5, tokens, wide // 2, 2 * wide, bf16)
    yield from _int8(1.5, *((16, 32, 64) if tiny else (1024, 4096, 4096)))
    group = "GEMV and skinny products"
    k = 64 if tiny else 4096
    for dtype in (f32, bf16):
        for batch in (1, 4, 16):
            yield _linear(group, 1.2, batch, k, k, dtype)
    yield _mm(group, 1.2, k, 1, k, f32)
    yield _mm(group, 1.2, 1, k, k, f32)
