"""Device memory: statistics, limits, snapshots, in CUDA's names and numbers."""

from __future__ import annotations

import contextlib
import pickle
import sys
import threading
from collections import OrderedDict
from typing import Any

import torch

from .. import _C
from ._utils import _get_device_index

__all__ = [
    "caching_allocator_alloc", "caching_allocator_delete", "empty_cache",
    "get_allocator_backend", "get_per_process_memory_fraction", "host_empty_cache",
    "list_gpu_processes", "max_memory_allocated", "max_memory_cached", "max_memory_reserved",
    "mem_get_info", "memory_allocated", "memory_cached", "memory_reserved", "memory_snapshot",
    "memory_stats", "memory_stats_as_nested_dict", "memory_summary",
    "reset_accumulated_memory_stats", "reset_max_memory_allocated", "reset_max_memory_cached",
    "reset_peak_memory_stats", "set_per_process_memory_fraction",
]


def empty_cache() -> None:
    """Gives cached memory that nothing uses back to the device."""
    if torch._C._accelerator_isAllocatorInitialized():
        torch._C._accelerator_emptyCache()


def host_empty_cache() -> None:
    """Gives cached pinned host memory back to the system."""
    torch._C._accelerator_emptyHostCache()


def memory_stats_as_nested_dict(device=None) -> dict[str, Any]:
    """The statistics of memory_stats as dictionaries in dictionaries; empty before first use."""
    if not torch._C._accelerator_isAllocatorInitialized():
        return {}
    return torch._C._accelerator_getDeviceStats(_get_device_index(device, optional=True))


def memory_stats(device=None) -> OrderedDict[str, Any]:
    """Every statistic of the allocator: ``allocated_bytes.all.peak`` and so on; bytes or counts."""
    flat: list[tuple[str, Any]] = []

    def walk(prefix: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(f"{prefix}.{key}" if prefix else key, inner)
        else:
            flat.append((prefix, value))

    walk("", memory_stats_as_nested_dict(device))
    return OrderedDict(sorted(flat))


def memory_allocated(device=None) -> int:
    """Bytes that tensors hold now."""
    return memory_stats(device).get("allocated_bytes.all.current", 0)


def max_memory_allocated(device=None) -> int:
    """Most bytes that tensors have held since the start or reset_peak_memory_stats."""
    return memory_stats(device).get("allocated_bytes.all.peak", 0)


def memory_reserved(device=None) -> int:
    """Bytes the caching allocator holds now, used or cached."""
    return memory_stats(device).get("reserved_bytes.all.current", 0)


def max_memory_reserved(device=None) -> int:
    """Most bytes the caching allocator has held."""
    return memory_stats(device).get("reserved_bytes.all.peak", 0)


memory_cached = memory_reserved
max_memory_cached = max_memory_reserved


def reset_peak_memory_stats(device=None) -> None:
    """Starts the peaks anew from the present values."""
    torch._C._accelerator_resetPeakStats(_get_device_index(device, optional=True))


def reset_accumulated_memory_stats(device=None) -> None:
    """Sets the counts of allocations and frees to zero."""
    torch._C._accelerator_resetAccumulatedStats(_get_device_index(device, optional=True))


reset_max_memory_allocated = reset_peak_memory_stats
reset_max_memory_cached = reset_peak_memory_stats


def mem_get_info(device=None) -> tuple[int, int]:
    """(free, total) bytes of the device, whoever uses it."""
    return torch._C._accelerator_getMemoryInfo(_get_device_index(device, optional=True))


def set_per_process_memory_fraction(fraction: float, device=None) -> None:
    """Lets this process use at most ``fraction`` (0 to 1) of the device's memory.

    Raises TypeError or ValueError for anything else; allocations above it raise
    OutOfMemoryError.
    """
    if not isinstance(fraction, float):
        raise TypeError("Invalid type for fraction argument, must be `float`")
    if not 0 <= fraction <= 1:
        raise ValueError(f"Invalid fraction value: {fraction}. Allowed range: 0~1")
    _C._set_memory_fraction(fraction, _get_device_index(device, optional=True))


def get_per_process_memory_fraction(device=None) -> float:
    """The fraction set, 1.0 by default."""
    return _C._memory_fraction(_get_device_index(device, optional=True))


def get_allocator_backend() -> str:
    """Which allocator is used."""
    return "native"


_raw: dict[int, torch.UntypedStorage] = {}
_raw_lock = threading.Lock()


def caching_allocator_alloc(size: int, device=None, stream=None) -> int:
    """Allocates ``size`` bytes on ``stream`` and returns the address, which only trn can read."""
    index = _get_device_index(device, optional=True)
    if not isinstance(stream, (torch.Stream, type(None))):
        raise TypeError("Invalid type for stream argument, must be `torch.trn.Stream`")
    with torch.trn.device(index), torch.trn.stream(stream):
        storage = torch.UntypedStorage(size, device=torch.device("trn", index))
    with _raw_lock:
        _raw[storage.data_ptr()] = storage
    return storage.data_ptr()


def caching_allocator_delete(mem_ptr: int) -> None:
    """Frees what caching_allocator_alloc gave. Raises RuntimeError for any other address."""
    with _raw_lock:
        if _raw.pop(mem_ptr, None) is None:
            raise RuntimeError(f"invalid device pointer: {mem_ptr:#x}")


def list_gpu_processes(device=None) -> str:
    """The processes that use the device, one a line: trn memory belongs to this process alone."""
    import os

    used = memory_reserved(device) / (1 << 20)
    index = _get_device_index(device, optional=True)
    if not used:
        return f"TRN:{index}\nno processes are running"
    return f"TRN:{index}\nprocess {os.getpid():>10d} uses {used:>12.3f} MB device memory"


def memory_snapshot(mempool_id=None, include_traces: bool = True) -> list[dict[str, Any]]:
    """Every segment of memory (or of one pool) with its blocks, as torch.cuda.memory_snapshot.

    ``include_traces`` changes nothing: segments hold none.
    """
    segments = _C._memory_snapshot()["segments"]
    if mempool_id is None:
        return segments
    return [s for s in segments if s["segment_pool_id"] == tuple(mempool_id)]


def _snapshot(device=None, augment_with_fx_traces: bool = False) -> dict[str, Any]:
    """Segments and history in the form of PyTorch's memory viewer."""
    return _C._memory_snapshot()


def _dump_snapshot(filename: str = "dump_snapshot.pickle",
                   augment_with_fx_traces: bool = False) -> None:
    """Writes the snapshot as a pickle, which pytorch.org/memory_viz opens."""
    with open(filename, "wb") as file:
        pickle.dump(_snapshot(), file)


def _record_memory_history(enabled="all", context="all", stacks: str = "all",
                           max_entries: int = sys.maxsize, device=None,
                           clear_history: bool = False, **_: Any) -> None:
    """Starts recording allocations and frees with their Python stacks; ``enabled=None`` stops."""
    if enabled not in (None, False, True, "state", "all"):
        raise RuntimeError(f"expected enabled to be None, 'state', or 'all', got {enabled!r}")
    if clear_history:
        _C._record_memory_history(False, False, 0)
    entries = 1 if enabled == "state" else min(max_entries, 2**62)
    _C._record_memory_history(bool(enabled), context is not None, entries if enabled else 0)


@contextlib.contextmanager
def _history(**options: Any):
    _record_memory_history(**options)
    try:
        yield
    finally:
        _record_memory_history(None)


_ROWS = (
    ("Allocated memory", "allocated_bytes", True), ("Active memory", "active_bytes", True),
    ("Requested memory", "requested_bytes", True), ("Reserved memory", "reserved_bytes", True),
    ("Non-releasable memory", "inactive_split_bytes", True),
    ("Allocations", "allocation", False), ("Active allocs", "active", False),
    ("Reserved segments", "segment", False), ("Non-releasable allocs", "inactive_split", False),
)
_POOLS = (("all", ""), ("large_pool", "  from large pool"), ("small_pool", "  from small pool"))


def _readable(number: int, is_bytes: bool) -> str:
    units = ("B", "KiB", "MiB", "GiB", "TiB") if is_bytes else ("", "K", "M", "G", "T")
    step = 1024 if is_bytes else 1000
    for unit in units:
        if number < 10 * step or unit == units[-1]:
            break
        number //= step
    return f"{number} {unit}".rstrip()


def memory_summary(device=None, abbreviated: bool = False) -> str:
    """The statistics as a table for people."""
    index = _get_device_index(device, optional=True)
    stats = memory_stats(index)
    line = "=" * 75
    ours = torch.device("trn").type.upper()  # "CUDA" where the program calls it so
    heading = f"PyTorch {ours} memory summary, device ID {index}"
    failures = f"  {ours} OOMs: {stats.get('num_ooms', 0)}"
    rows = [
        f"|{line}|", f"|{heading:^75}|", f"|{'-' * 75}|",
        f"|{failures:<37}|"
        f"{'  allocation retries: ' + str(stats.get('num_alloc_retries', 0)):<37}|",
        f"|{line}|",
        f"|{'Metric':^22} |{'Cur Usage':^12}|{'Peak Usage':^12}|{'Tot Alloc':^12}"
        f"|{'Tot Freed':^12}|",
    ]
    for title, key, is_bytes in _ROWS:
        rows.append(f"|{'-' * 75}|")
        for pool, name in _POOLS[:1] if abbreviated else _POOLS:
            cells = (_readable(stats.get(f"{key}.{pool}.{metric}", 0), is_bytes)
                     for metric in ("current", "peak", "allocated", "freed"))
            rows.append(f"|{name or title:<22} |" + "|".join(f"{cell:>11} " for cell in cells)
                        + "|")
    return "\n".join([*rows, f"|{line}|"])
