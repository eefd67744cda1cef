"""torch.distributed on trn: the backend ``trnccl``, which moves data with Gloo.

``init_process_group()`` picks it for trn tensors by itself; by name it is
``init_process_group("cpu:gloo,trn:trnccl")``.
"""

from __future__ import annotations

import atexit
import functools
import os
from typing import Any

import torch.distributed as dist

from . import _C

#: The backend's name.
NAME: str = _C._comm_name


def _attempt() -> str:
    """How often torchrun has started these ranks again.

    Its store outlives them, with the addresses of ranks that are gone: each attempt needs names of
    its own. On several hosts the counts differ, so there it is torchrun's to give a new store.
    """
    one_host = os.environ.get("LOCAL_WORLD_SIZE") == os.environ.get("WORLD_SIZE")
    return os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") if one_host else "0"


@functools.cache
def _shard() -> None:
    # Not when torch_trn is imported: it takes DTensor's import with it.
    from . import sharding

    sharding.register()


def _create(options: Any, _: Any = None) -> Any:
    """One group's backend, with a Gloo group of its own as its transport."""
    _shard()
    store = dist.PrefixStore(f"{NAME}/{_attempt()}", options.store)
    rank, size, timeout = options.group_rank, options.group_size, options.timeout
    transport = dist.ProcessGroupGloo(store, rank, size, timeout=timeout)
    return _C._make_comm_backend(transport, rank, size, timeout)


def register() -> None:
    """Makes the backend known to torch.distributed; done when torch_trn is imported."""
    if dist.is_available() and NAME not in dist.Backend.backend_list:
        dist.Backend.register_backend(NAME, _create, extended_api=True, devices=["trn"])
        # At exit what still waits for another rank is given up, so that this process ends.
        # Handlers run last one first: this one before that which waits for the devices.
        atexit.register(_C._abort_comm_backends)
