"""Private pools of device memory: torch.cuda.MemPool's twins."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any

from .. import _C
from ._utils import _get_device_index
from .memory import memory_snapshot

__all__ = ["MemPool", "use_mem_pool"]


class MemPool:
    """Memory of the current device that nobody outside ``use_mem_pool`` is given.

    ``use_on_oom`` and ``no_split`` are accepted and change nothing; ``allocator`` must be None:
    RuntimeError otherwise, for all memory comes from the driver.
    """

    def __init__(self, allocator: Any = None, use_on_oom: bool = False, no_split: bool = False):
        if allocator is not None:
            raise RuntimeError("trn memory comes from the driver; MemPool takes no allocator")
        self.device = _C._current_device()
        self.allocator = None
        self.id: tuple[int, int] = _C._new_pool_id()
        _C._begin_pool(self.device, self.id)  # exists from now on
        _C._end_pool(self.device, self.id)

    def use_count(self) -> int:
        """How many hold the pool: this object, and each ``use_mem_pool`` under way."""
        return _C._pool_uses(self.device, self.id)

    def snapshot(self, include_traces: bool = True) -> list[dict[str, Any]]:
        """The pool's segments, as in torch.trn.memory_snapshot()."""
        return memory_snapshot(self.id, include_traces)

    def __del__(self):
        if hasattr(self, "id"):
            _C._empty_pool(self.id)
            _C._release_pool(self.device, self.id)


@contextmanager
def use_mem_pool(pool: MemPool, device=None):
    """This thread's allocations on ``device`` come from ``pool`` inside."""
    index = _get_device_index(device, optional=True)
    _C._begin_pool(index, pool.id)
    try:
        yield
    finally:
        _C._end_pool(index, pool.id)
        _C._release_pool(index, pool.id)
