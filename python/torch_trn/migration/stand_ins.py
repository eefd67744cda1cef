"""What torch.cuda has and torch.trn has not: answers, accepted calls, and refusals with advice."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import Any

import torch

from .. import _C, trn
from .cuda_api import refusal


def refuse(name: str) -> Callable:
    """A function that raises RuntimeError with the table's advice."""

    def refused(*args: Any, **kwargs: Any):
        raise RuntimeError(refusal(name))

    refused.__name__ = refused.__qualname__ = name.rsplit(".", 1)[-1]
    refused.__doc__ = refusal(name)
    return refused


def refuse_class(name: str) -> type:
    """A class that cannot be made, with the table's advice; isinstance of it is always false."""

    def __new__(cls, *args: Any, **kwargs: Any):  # noqa: N807
        raise RuntimeError(refusal(name))

    return type(name.rsplit(".", 1)[-1], (), {"__new__": __new__, "__doc__": refusal(name)})


class _Result(int):
    """An error code; 0 is success."""


_Result.success = _Result(0)


class CudaRuntime:
    """What ``torch.cuda.cudart()`` gives, for trn."""

    cudaError = _Result  # noqa: N815 (CUDA's name)

    def __getattr__(self, name: str):
        raise AttributeError(f"cudart().{name}: trn has no CUDA runtime beneath it; there are "
                             "cudaMemGetInfo, cudaProfilerStart/Stop, cudaHostRegister/Unregister, "
                             "cudaDeviceSynchronize and cudaGetErrorString")

    def cudaGetErrorString(self, error: int) -> str:  # noqa: N802
        return "no error" if int(error) == 0 else f"error {int(error)}"

    def cudaMemGetInfo(self, device: int | None = None) -> tuple[int, int]:  # noqa: N802
        return trn.mem_get_info(device)

    def cudaDeviceSynchronize(self) -> _Result:  # noqa: N802
        trn.synchronize()
        return _Result.success

    def cudaProfilerStart(self) -> _Result:  # noqa: N802
        trn.profiler.start()
        return _Result.success

    def cudaProfilerStop(self) -> _Result:  # noqa: N802
        trn.profiler.stop()
        return _Result.success

    def cudaHostRegister(self, pointer: int, size: int, flags: int) -> _Result:  # noqa: N802
        return _Result.success  # the driver reads any host memory

    def cudaHostUnregister(self, pointer: int) -> _Result:  # noqa: N802
        return _Result.success


_runtime = CudaRuntime()


def cudart() -> CudaRuntime:
    """The part of CUDA's runtime that trn answers for."""
    trn.init()
    return _runtime


def check_error(res: int) -> None:
    """Raises CudaError for a result other than success."""
    if int(res) != 0:
        raise torch.cuda.CudaError(int(res))


@contextlib.contextmanager
def caching_allocator_disabled():
    """The cache stays on: freed memory is reused at once, which no program can tell."""
    yield


def caching_allocator_enable(value: bool = True) -> None:
    """The cache stays on."""


_SYNC_MODES = {"default": 0, "warn": 1, "error": 2}


def set_sync_debug_mode(debug_mode: int | str) -> None:
    """Whether operators that make the host wait warn or raise RuntimeError.

    Raises RuntimeError for a mode that CUDA does not know.
    """
    mode = _SYNC_MODES.get(debug_mode, debug_mode)
    if mode not in _SYNC_MODES.values():
        raise RuntimeError("invalid value of debug_mode, expected one of `default`, `warn`, "
                           f"`error`, got {debug_mode!r}")
    _C._set_sync_debug_mode(mode)


def get_sync_debug_mode() -> int:
    """The mode that was set; 0 at first."""
    return _C._sync_debug_mode()


def host_memory_stats_as_nested_dict() -> dict[str, Any]:
    """Statistics of pinned host memory."""
    return _C._host_memory_stats()


def host_memory_stats() -> dict[str, Any]:
    """The same with dotted keys."""
    return {f"{group}.{key}" if isinstance(values, dict) else group: value
            for group, values in host_memory_stats_as_nested_dict().items()
            for key, value in (values.items() if isinstance(values, dict) else (("", values),))}


def remembering(original: Callable) -> Callable:
    """torch's own getter and setter of a preferred library: what is set is given back."""
    choice = [None]

    @functools.wraps(original)
    def preferred(backend: Any = None):
        if backend is not None:
            choice[0] = backend
        return original() if choice[0] is None else choice[0]

    return preferred


class CufftPlanCache:
    """No plans are kept: it reads as empty, and takes any limit."""

    size, max_size = 0, 4096

    def clear(self) -> None:
        """Nothing to clear."""

    def __getitem__(self, device: Any) -> CufftPlanCache:
        return self


def _fused(types: set[torch.dtype], masks: bool, enabled: str) -> Callable:
    """torch.backends.cuda.can_use_..._attention: what CUDA's kernel takes, trn's does as well."""

    def can_use(params: torch.backends.cuda.SDPAParams, debug: bool = False) -> bool:
        """Whether the fused kernel runs for these tensors of scaled_dot_product_attention."""
        inputs = (params.query, params.key, params.value)
        # By device: while a function is compiled, tensors do not say that they are CUDA's.
        return (getattr(torch.backends.cuda, enabled)()
                and all(t.device.type in ("cuda", "trn") for t in inputs)
                and all(t.dim() == 4 and t.dtype == params.query.dtype for t in inputs)
                and params.query.dtype in types and (masks or params.attn_mask is None)
                and all(t.size(-1) <= 256 for t in inputs))

    return can_use


_HALVES = {torch.float16, torch.bfloat16}
ATTENTION: dict[str, Callable] = {
    "can_use_flash_attention": _fused(_HALVES, False, "flash_sdp_enabled"),
    "can_use_efficient_attention": _fused({*_HALVES, torch.float32}, True,
                                          "mem_efficient_sdp_enabled"),
}

FUNCTIONS: dict[str, Any] = {
    "caching_allocator_disabled": caching_allocator_disabled,
    "caching_allocator_enable": caching_allocator_enable,
    "check_error": check_error, "cudart": cudart,
    "set_sync_debug_mode": set_sync_debug_mode,
    "get_sync_debug_mode": get_sync_debug_mode,
    "host_memory_stats": host_memory_stats,
    "host_memory_stats_as_nested_dict": host_memory_stats_as_nested_dict,
    "reset_accumulated_host_memory_stats": _C._reset_accumulated_host_memory_stats,
    "reset_peak_host_memory_stats": _C._reset_peak_host_memory_stats,
}
