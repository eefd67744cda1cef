"""torch.cuda.profiler's twin: start and stop mark what an outside profiler should look at."""

from contextlib import contextmanager

import torch

__all__ = ["profile", "start", "stop"]


def start() -> None:
    """The interesting part begins: earlier work is waited for."""
    torch.trn.synchronize()


def stop() -> None:
    """The interesting part ends: its work is waited for."""
    torch.trn.synchronize()


@contextmanager
def profile():
    """start() and stop() around a block."""
    start()
    try:
        yield
    finally:
        stop()
