"""Profilers of CUDA: torch.profiler and the older torch.autograd.profiler record trn."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.autograd.profiler
import torch.profiler

from .patch import Patch


def _recording_trn(parse: Callable) -> Callable:
    """torch.profiler's reading of `activities`: to record CUDA is to record trn."""
    cuda, ours = torch.profiler.ProfilerActivity.CUDA, torch.profiler.ProfilerActivity.PrivateUse1

    @functools.wraps(parse)
    def parsed(activities):
        asked, filters = parse(activities)
        return ({ours if a == cuda else a for a in asked},
                {ours if a == cuda else a: names for a, names in filters.items()})

    return parsed


def _with_cuda(supported: Callable) -> Callable:
    """torch.profiler.supported_activities: what records trn is found under CUDA's name, too."""

    @functools.wraps(supported)
    def supported_activities():
        return {*supported(), torch.profiler.ProfilerActivity.CUDA}

    return supported_activities


def _timing_trn(original: Callable) -> Callable:
    """The older profiler's constructor: to time CUDA is to time trn."""

    @functools.wraps(original)
    def __init__(self, enabled=True, *, use_cuda=False, use_device=None,  # noqa: N807
                 use_kineto=False, **kwargs):
        if use_cuda or use_device in ("cuda", "trn"):
            # Without Kineto, torch wants events around every operator, which only CUDA gives it.
            use_device, use_kineto = "trn", True
        original(self, enabled, use_device=use_device, use_kineto=use_kineto, **kwargs)
        self.use_cuda = use_cuda

    return __init__


def _of_cuda(original: Callable) -> Callable:
    """An event's constructor: what ran on trn ran on what the program calls CUDA."""
    kinds = torch.autograd.DeviceType

    @functools.wraps(original)
    def __init__(self, *args, device_type=kinds.CPU, use_device=None, **kwargs):  # noqa: N807
        shown = kinds.CUDA if device_type == kinds.PrivateUse1 else device_type
        original(self, *args, device_type=shown, use_device=_said(use_device), **kwargs)

    return __init__


def _said(use_device: str | None) -> str | None:
    return "cuda" if use_device == "trn" else use_device


def _lists_of_cuda(original: Callable) -> Callable:
    """A list of events' constructor: its tables' heads say what the program calls the device."""

    @functools.wraps(original)
    def __init__(self, *args, use_device=None, **kwargs):  # noqa: N807
        original(self, *args, use_device=_said(use_device), **kwargs)

    return __init__


def _enter_nvtx(self: torch.autograd.profiler.emit_nvtx) -> Any:
    """emit_nvtx: operators are ranges of torch.profiler's already, and nothing else reads them."""
    if not self.enabled:
        return None
    if self.entered:
        raise RuntimeError("NVTX annotation context manager is not reentrant")
    self.entered = True
    return self


def _leave_nvtx(self: torch.autograd.profiler.emit_nvtx, *_: Any) -> None:
    """Nothing to end."""


def patches() -> Iterator[Patch]:
    """What is replaced of the profilers."""
    profiler, older = torch.profiler.profiler, torch.autograd.profiler
    yield Patch(profiler, "_parse_activities", _recording_trn(profiler._parse_activities))
    for module in (torch.profiler, profiler):
        yield Patch(module, "supported_activities", _with_cuda(profiler.supported_activities))
    yield Patch(older.profile, "__init__", _timing_trn(older.profile.__init__))
    events = torch.autograd.profiler_util.FunctionEvent
    yield Patch(events, "__init__", _of_cuda(events.__init__))
    lists = torch.autograd.profiler_util.EventList
    yield Patch(lists, "__init__", _lists_of_cuda(lists.__init__))
    yield Patch(older.emit_nvtx, "__enter__", _enter_nvtx)
    yield Patch(older.emit_nvtx, "__exit__", _leave_nvtx)
