"""CUDA's environment variables, obeyed: which devices are seen, whether launches wait."""

from __future__ import annotations

import functools
import os
from typing import Any

import torch

from .. import _C, trn

_ALL = 64  # more than any driver has


def _visible() -> int:
    """How many devices CUDA_VISIBLE_DEVICES shows: those before the first that does not exist."""
    if "CUDA_VISIBLE_DEVICES" not in os.environ:
        return _ALL
    _C._limit_devices(_ALL)
    there, shown = _C._device_count(), 0
    for entry in torch.cuda._parse_visible_devices():
        if isinstance(entry, int) and not 0 <= entry < there:
            break
        shown += 1
    return min(shown, there)


def obey_environment() -> None:
    """Reads the variables; the devices can be chosen until the first is opened, as on CUDA."""
    if not _C._is_initialized():
        _C._limit_devices(_visible())
        _C._set_launch_blocking(os.environ.get("CUDA_LAUNCH_BLOCKING", "0") not in ("", "0"))


def forget_environment() -> None:
    """All devices are seen again, launches do not wait, and waiting is not reported."""
    _C._limit_devices(_ALL)
    _C._set_launch_blocking(False)
    _C._set_sync_debug_mode(0)


def counted_by_environment() -> dict[str, Any]:
    """The functions that a program calls before it uses a device; each reads the variables."""

    def reading(function):
        @functools.wraps(function)
        def read(*args: Any, **kwargs: Any):
            obey_environment()
            return function(*args, **kwargs)

        return read

    return {name: reading(getattr(trn, name))
            for name in ("is_available", "device_count", "init", "set_device", "_lazy_init")}
