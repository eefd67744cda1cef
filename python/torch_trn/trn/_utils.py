"""Turning what people write for a device into its index."""

from __future__ import annotations

import torch

from .. import _C


def _get_device_index(device, optional: bool = False, allow_cpu: bool = False) -> int:
    """The index of a ``trn`` device given as int, ``"trn:1"``, ``torch.device`` or None.

    With ``optional`` a missing index is the current device; with ``allow_cpu`` the CPU is -1.
    Raises ValueError for a device of another type or, without ``optional``, a missing index.
    """
    if isinstance(device, int) and not isinstance(device, bool):
        return device
    if isinstance(device, str):
        device = torch.device(device)
    index = None
    if isinstance(device, torch.device):
        if allow_cpu and device.type == "cpu":
            return -1
        if device.type not in ("trn", "cuda") or (
            device.type == "cuda" and not _C._migration_is_on()
        ):
            ours = torch.device("trn").type  # "cuda" where the program calls it so
            raise ValueError(f"Expected a {ours} device, but got: {device}")
        index = device.index
    elif device is not None:
        raise ValueError(f"Expected a torch.device, a string or an int, but got: {device!r}")
    if index is None:
        if not optional:
            raise ValueError(
                "Expected a torch.device with a specified index or an integer, but got:"
                f"{device}"
            )
        return _C._current_device()
    return index


# Compilers take its answer for a constant, as they do with torch._utils'.
_get_device_index._dynamo_marked_constant = True
