"""Random numbers: a Philox generator a device, with CUDA's 16-byte state."""

from __future__ import annotations

import functools
from collections.abc import Iterable

import torch

from .. import _C
from ._utils import _get_device_index

__all__ = [
    "get_rng_state", "get_rng_state_all", "initial_seed", "manual_seed", "manual_seed_all",
    "seed", "seed_all", "set_rng_state", "set_rng_state_all",
]


@functools.cache
def default_generators() -> tuple[torch.Generator, ...]:
    """The generator of each device that operators draw from by default."""
    return _C._default_generators()


def _get_generator(device) -> torch.Generator:
    return default_generators()[_get_device_index(device, optional=True)]


def get_rng_state(device="trn") -> torch.Tensor:
    """The state of a device's generator: 16 bytes (uint8, on the CPU), seed then offset."""
    return _get_generator(device).get_state()


def get_rng_state_all() -> list[torch.Tensor]:
    """The state of every device."""
    return [g.get_state() for g in default_generators()]


def set_rng_state(new_state: torch.Tensor, device="trn") -> None:
    """Sets the state of a device's generator."""
    _get_generator(device).set_state(new_state)


def set_rng_state_all(new_states: Iterable[torch.Tensor]) -> None:
    """Sets the state of every device."""
    for index, state in enumerate(new_states):
        set_rng_state(state, index)


def manual_seed(seed: int) -> None:
    """Seeds the current device. In the child of a fork nothing happens, as on CUDA."""
    if not _C._is_in_bad_fork() and _C._device_count():
        _get_generator(None).manual_seed(int(seed))


def manual_seed_all(seed: int) -> None:
    """Seeds every device."""
    if not _C._is_in_bad_fork():
        for generator in default_generators():
            generator.manual_seed(int(seed))


def seed() -> None:
    """Seeds the current device with a number from the system."""
    _get_generator(None).seed()


def seed_all() -> None:
    """Seeds every device with one number from the system."""
    seeded = None
    for generator in default_generators():
        seeded = generator.seed() if seeded is None else generator.manual_seed(seeded) and seeded


def initial_seed() -> int:
    """The seed of the current device."""
    return _get_generator(None).initial_seed()
