"""Devices: which there are, which is current, what they are."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from .. import _C
from ._utils import _get_device_index

__all__ = [
    "can_device_access_peer", "clock_rate", "current_device", "device", "device_count",
    "device_memory_used", "device_of", "get_amp_supported_dtype", "get_arch_list",
    "get_device_capability", "get_device_name", "get_device_properties", "get_gencode_flags",
    "init", "ipc_collect", "is_available", "is_bf16_supported", "is_initialized",
    "is_tf32_supported", "launch_count", "memory_usage", "power_draw", "set_device",
    "synchronize", "temperature", "utilization",
]

_device_t = torch.device | str | int | None

current_device: Callable[[], int] = _C._current_device
is_initialized: Callable[[], bool] = _C._is_initialized
_is_in_bad_fork: Callable[[], bool] = _C._is_in_bad_fork
#: Kernels this process has queued so far; a test that sees it rise knows that the device ran.
launch_count: Callable[[], int] = _C._launch_count


def is_available() -> bool:
    """Whether there is at least one device. Opens none, never raises."""
    return device_count() > 0


def device_count() -> int:
    """How many devices there are (TRN_DEVICES); 0 where the driver gives none."""
    return _C._device_count()


def init() -> None:
    """Opens the devices, which otherwise happens at first use."""
    _lazy_init()


def _lazy_init() -> None:
    if _is_in_bad_fork() or device_count():
        _C._init()  # in the child of a fork it raises


def _lazy_call(call: Callable[[], Any], **_: Any) -> None:
    call()


def set_device(device: _device_t) -> None:
    """Makes a device current; a negative index changes nothing. Raises for one that is not."""
    _C._set_device(_get_device_index(device))


def synchronize(device: _device_t = None) -> None:
    """Waits for all work of a device. Late errors of its kernels are raised here."""
    torch._C._accelerator_synchronizeDevice(_get_device_index(device, optional=True))


def _exchange(index: int) -> int:
    before = _C._current_device()
    if index >= 0:
        _C._set_device(index)
    return before


class device:  # noqa: N801 (torch.cuda's name)
    """Context manager that makes a device current inside; None or a negative index does nothing."""

    def __init__(self, device: _device_t):
        self.idx = _get_device_index(device, optional=True)
        self.prev_idx = -1

    def __enter__(self):
        self.prev_idx = _exchange(self.idx)
        return self

    def __exit__(self, *_) -> bool:
        _exchange(self.prev_idx)
        return False


class device_of(device):  # noqa: N801
    """Context manager that makes the device of a tensor or storage current, if it is on trn."""

    def __init__(self, obj):
        super().__init__(obj.get_device() if obj.is_trn else -1)


@dataclass(frozen=True)
class _DeviceProperties:
    """What a device is, by CUDA's names. Bytes for memory and caches; 0 for what it does not have.
    """

    name: str
    driver: str
    total_memory: int
    multi_processor_count: int  # compute threads
    isa: str
    l1_cache_size: int
    L2_cache_size: int
    l3_cache_size: int
    major: int
    minor: int
    warp_size: int = 1
    max_threads_per_multi_processor: int = 1
    max_threads_per_block: int = 1
    regs_per_multiprocessor: int = 0
    shared_memory_per_block: int = 0
    shared_memory_per_block_optin: int = 0
    shared_memory_per_multiprocessor: int = 0
    clock_rate: int = 0
    memory_clock_rate: int = 0
    memory_bus_width: int = 0
    pci_bus_id: int = 0
    pci_device_id: int = 0
    pci_domain_id: int = 0
    is_integrated: int = 0
    is_multi_gpu_board: int = 0
    gcnArchName: str = ""
    uuid: str = ""


# The lowest CUDA capability whose data types all exist here (bfloat16 came with 8.0).
_CAPABILITY = (8, 0)


@functools.cache
def _static_properties(index: int) -> dict[str, Any]:
    return _C._properties(index)


def get_device_properties(device: _device_t = None) -> _DeviceProperties:
    """Name, memory, threads and caches of a device. Raises for one that does not exist."""
    index = _get_device_index(device, optional=True)
    if index < 0 or index >= device_count():
        raise AssertionError("Invalid device id")
    p = dict(_static_properties(index), compute_threads=_C._get_compute_threads(),
             isa=_C._active_isa())
    return _DeviceProperties(
        name=p["name"], driver=p["driver"], total_memory=p["total_memory"],
        multi_processor_count=p["compute_threads"], isa=p["isa"], l1_cache_size=p["l1_bytes"],
        L2_cache_size=p["l2_bytes"], l3_cache_size=p["l3_bytes"], major=_CAPABILITY[0],
        minor=_CAPABILITY[1], uuid=f"trn-{p['driver']}-{index}",
    )


def get_device_name(device: _device_t = None) -> str:
    """The device's name."""
    return get_device_properties(device).name


def get_device_capability(device: _device_t = None) -> tuple[int, int]:
    """CUDA's compute capability whose data types the device has; not a claim to be that chip."""
    get_device_properties(device)
    return _CAPABILITY


def can_device_access_peer(device: _device_t, peer_device: _device_t) -> bool:
    """Whether one device can read another's memory: always, through the driver."""
    first, second = _get_device_index(device, True), _get_device_index(peer_device, True)
    for index in (first, second):
        if index < 0 or index >= device_count():
            raise AssertionError("Invalid device id")
    return first != second


def get_amp_supported_dtype() -> list[torch.dtype]:
    """Types that ``torch.autocast("trn")`` takes: CUDA's, which are not only the short ones."""
    return [torch.float16, torch.bfloat16, torch.float32]


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """Whether bfloat16 tensors can be computed with: yes."""
    return True


def is_tf32_supported() -> bool:
    """Whether TF32 exists: no. ``torch.set_float32_matmul_precision`` rules instead."""
    return False


def get_arch_list() -> list[str]:
    """Instruction sets that this library has kernels for, lowest first."""
    order = ("portable", "avx2", "avx512", "amx")
    present = {isa for _, _, isa in _C._kernels()}
    return [isa for isa in order if isa in present]


def get_gencode_flags() -> str:
    """The instruction sets of the kernels, as one line."""
    return " ".join(get_arch_list())


def device_memory_used(device: _device_t = None) -> int:
    """Bytes of a device in use by anyone."""
    free, total = torch.trn.mem_get_info(device)
    return total - free


def memory_usage(device: _device_t = None) -> int:
    """Percent of a device's memory in use."""
    free, total = torch.trn.mem_get_info(device)
    return round(100 * (total - free) / total)


def utilization(device: _device_t = None) -> int:
    """Percent of the machine's cores busy over the last minute: the device computes on them."""
    get_device_properties(device)
    return min(100, round(100 * os.getloadavg()[0] / (os.cpu_count() or 1)))


def _host_number(what: str, pattern: str, scale: float) -> int:
    import glob

    for path in sorted(glob.glob(pattern)):
        try:
            with open(path) as file:
                return round(int(file.read()) * scale)
        except (OSError, ValueError):
            continue
    raise RuntimeError(f"this machine does not tell its {what}")


def temperature(device: _device_t = None) -> int:
    """The processor's temperature in degrees Celsius. Raises where the machine does not tell it."""
    get_device_properties(device)
    return _host_number("temperature", "/sys/class/thermal/thermal_zone*/temp", 1e-3)


def power_draw(device: _device_t = None) -> int:
    """Power in milliwatts. Raises where the machine does not tell it."""
    get_device_properties(device)
    return _host_number("power", "/sys/class/power_supply/*/power_now", 1e-3)


def clock_rate(device: _device_t = None) -> int:
    """The processor's clock in MHz. Raises where the machine does not tell it."""
    get_device_properties(device)
    return _host_number("clock", "/sys/devices/system/cpu/cpu*/cpufreq/scaling_cur_freq", 1e-3)


def ipc_collect() -> None:
    """Frees memory that other processes have given back: none is shared, so nothing to do."""
    if is_initialized():
        torch.trn.synchronize()


def _sleep(cycles: int) -> None:
    """Keeps the current stream busy about as long as ``cycles`` of a GPU's clock take."""
    if cycles > 0:
        block = torch.zeros(1 << 20, device="trn")
        for _ in range(max(1, cycles >> 18)):
            block.add_(1)
