"""Named ranges, as torch.cuda.nvtx; they appear in torch.profiler's traces."""

from __future__ import annotations

import threading
from contextlib import contextmanager

import torch

__all__ = ["mark", "range", "range_end", "range_pop", "range_push", "range_start"]

_open = threading.local()
_started: dict[int, torch.autograd.profiler.record_function] = {}
_lock = threading.Lock()


def _enter(message: str) -> torch.autograd.profiler.record_function:
    record = torch.autograd.profiler.record_function(message)
    record.__enter__()
    return record


def range_push(msg: str) -> int:
    """Opens a range inside the ones open in this thread; returns its depth from 0."""
    stack = _open.__dict__.setdefault("stack", [])
    stack.append(_enter(msg))
    return len(stack) - 1


def range_pop() -> int:
    """Closes the innermost range; returns its depth, -1 when none was open."""
    stack = _open.__dict__.setdefault("stack", [])
    if not stack:
        return -1
    stack.pop().__exit__(None, None, None)
    return len(stack)


def range_start(msg: str) -> int:
    """Opens a range that any thread may close; returns what range_end takes."""
    record = _enter(msg)
    with _lock:
        handle = max(_started, default=0) + 1
        _started[handle] = record
    return handle


def range_end(range_id: int) -> None:
    """Closes a range by its handle."""
    with _lock:
        record = _started.pop(range_id, None)
    if record is not None:
        record.__exit__(None, None, None)


def mark(msg: str) -> None:
    """A point in time with a name."""
    _enter(msg).__exit__(None, None, None)


@contextmanager
def range(msg: str, *args, **kwargs):  # noqa: A001 (torch's name)
    """Context manager and decorator: a range named ``msg.format(*args, **kwargs)``."""
    range_push(msg.format(*args, **kwargs))
    try:
        yield
    finally:
        range_pop()
