"""What is waited for before Python ends."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import torch

from . import trn

_kept: list[torch.Tensor] = []  # what no other thread may be the last to drop


def _has_autograd_threads() -> bool:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # one that ends meanwhile
        return any(name.read_text().startswith("pt_autograd")
                   for name in Path("/proc/self/task").glob("*/comm"))
    return True


def _settle_autograd(index: int) -> None:
    """Waits for the autograd thread of a device: it may still drop a backward's Python objects, and
    the end of Python would kill it, and the process, for that. It has done so before it runs
    another backward, be it of nothing. That one goes straight to the engine:
    torch.autograd.backward lends the thread a context, an object of Python to be dropped again."""
    nothing, gradient = (torch.empty(0, device=f"trn:{index}") for _ in range(2))
    _kept.extend([nothing, gradient])
    torch.autograd.Variable._execution_engine.run_backward(
        (nothing.requires_grad_(),), (gradient,), False, False, (), accumulate_grad=True)


def synchronise() -> None:
    """Waits for queued work, which may use memory that the end of the process takes away."""
    if not trn.is_initialized() or trn._is_in_bad_fork():
        return
    try:
        backward = _has_autograd_threads()
        for index in range(trn.device_count()):
            trn.synchronize(index)
            if backward:
                _settle_autograd(index)
    except RuntimeError as error:
        print(f"torch-trn: an error was still to be told at exit: {error}", file=sys.stderr)
