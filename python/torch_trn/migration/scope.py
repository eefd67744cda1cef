"""Entering and leaving the redirection, nested, exactly undone."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator

import torch

from .. import _C

_lock = threading.RLock()
_depth = 0
_undo: contextlib.ExitStack | None = None


def _forget_modules() -> None:
    # It remembers modules by device, and a trn device answers to "cuda" inside only.
    torch.get_device_module.cache_clear()


def is_active() -> bool:
    """Whether CUDA is redirected now."""
    return _C._migration_is_on()


def redirections() -> dict[tuple[str, str], int]:
    """{(what, "file:line" that asked for it): how often} since the process started."""
    return _C._redirections()


def activate() -> None:
    """Redirects CUDA to trn until as many deactivate() as activate() have been called."""
    global _depth, _undo
    with _lock:
        _depth += 1
        if _depth > 1:
            return
        from . import packages
        from .table import patches
        from .visible import forget_environment, obey_environment

        with contextlib.ExitStack() as stack:
            cuda_ready = torch.cuda.is_initialized()
            stack.callback(_forget_modules)
            _C._enter_migration()
            stack.callback(_C._leave_migration, cuda_ready)
            _forget_modules()
            obey_environment()
            stack.callback(forget_environment)
            finder = packages.Finder()
            sys.meta_path.append(finder)
            stack.callback(packages.forget)
            stack.callback(sys.meta_path.remove, finder)
            try:
                for patch in patches():
                    patch.apply()
                    stack.callback(patch.undo)
            except BaseException:
                _depth = 0
                raise
            _undo = stack.pop_all()


def deactivate() -> None:
    """Takes one activate() back; the last one gives CUDA everything back. Raises without one."""
    global _depth, _undo
    with _lock:
        if _depth == 0:
            raise RuntimeError("CUDA is not redirected: deactivate() without activate()")
        _depth -= 1
        if _depth == 0:
            undo, _undo = _undo, None
            undo.close()


@contextlib.contextmanager
def scope() -> Iterator[None]:
    """Context manager: CUDA means trn inside. Process-wide, nestable, also a decorator."""
    activate()
    try:
        yield
    finally:
        deactivate()
