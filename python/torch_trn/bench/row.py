"""Rows of the benchmark: the same work done in two ways, or something to count."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import torch

Work = Callable[[], object]
Make = Callable[[torch.device], Work]


@dataclass(frozen=True)
class Row:
    """One line of the table.

    ``make(device)`` builds inputs on a device and returns the function to time; it is called once
    for ``cpu`` and once for ``trn``. ``flops`` and ``bytes`` are those of one call at the least:
    every operand is read and every result written once. ``peak`` names the arithmetic.

    Where trn is measured against itself, ``against`` names the other side and ``base(device)``
    makes its work, on trn too. Samples of ``make``'s work are taken within ``inside()``, entered
    and left outside the time. A ``slow`` row is left out of quick runs.
    """

    group: str
    name: str
    goal: float
    make: Make = field(repr=False)
    flops: float = 0
    bytes: float = 0
    peak: str = "f32"
    precision: str = "highest"
    against: str = "CPU"
    base: Make | None = field(default=None, repr=False)
    inside: Callable[[], AbstractContextManager] = field(default=nullcontext, repr=False)
    slow: bool = False

    @property
    def title(self) -> str:
        """The name, and what is compared with where that is not PyTorch's CPU."""
        return self.name if self.against == "CPU" else f"{self.name} against {self.against}"


class Unavailable(Exception):
    """This machine cannot count it; the text says why."""


@dataclass(frozen=True)
class Count:
    """A line that no clock tells: ``count()`` has to be at most ``goal``, in ``unit``."""

    group: str
    name: str
    goal: float
    unit: str
    count: Callable[[], float] = field(repr=False)
    slow: bool = False

    @property
    def title(self) -> str:
        return self.name


def rand(device, *shape: int, dtype=torch.float32, grad: bool = False) -> torch.Tensor:
    """Normal numbers, the same on every device, of one standard deviation."""
    generator = torch.Generator().manual_seed(sum(shape) + len(shape))
    x = torch.randn(*shape, generator=generator).to(dtype).to(device)
    return x.requires_grad_(grad)


def integers(device, high: int, *shape: int) -> torch.Tensor:
    """int64 in [0, high), the same on every device."""
    generator = torch.Generator().manual_seed(high)
    return torch.randint(high, shape, generator=generator).to(device)


def size_of(*tensors: torch.Tensor) -> int:
    return sum(t.numel() * t.element_size() for t in tensors)


def backward(out: torch.Tensor, inputs: list[torch.Tensor]) -> Work:
    """Times the backward pass alone: the graph is kept between calls."""
    grad = torch.ones_like(out)
    return lambda: torch.autograd.grad(out, inputs, grad, retain_graph=True)


def short(dtype: torch.dtype) -> str:
    return {torch.float32: "f32", torch.bfloat16: "bf16", torch.float16: "f16",
            torch.int8: "i8"}[dtype]
