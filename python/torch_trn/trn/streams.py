"""Streams and events on torch.Stream and torch.Event, with CUDA's constructors."""

from __future__ import annotations

import torch

from .. import _C
from ._utils import _get_device_index

__all__ = [
    "Event", "ExternalStream", "Stream", "StreamContext", "current_stream", "default_stream",
    "get_stream_from_external", "is_current_stream_capturing", "set_stream", "stream",
]


#: (stream_id, device_index) of the streams whose handle was asked for.
_handles: dict[int, tuple[int, int]] = {}


class Stream(torch.Stream):
    """A queue of work on a device; what is queued on one stream runs in order.

    ``priority`` runs from 0 (normal) down to ``priority_range()[1]``; lower goes first.
    """

    def __new__(cls, device=None, priority: int = 0, **kwargs):
        if "stream_id" in kwargs:
            return super().__new__(cls, **kwargs)
        index = _get_device_index(device, optional=True)
        return super().__new__(cls, device=torch.device("trn", index), priority=priority)

    @classmethod
    def priority_range(cls) -> tuple[int, int]:
        """(lowest, highest) priority."""
        return 0, _C._highest_priority

    @property
    def priority(self) -> int:
        return _C._stream_priority(self.stream_id, self.device_index)

    @property
    def trn_stream(self) -> int:
        """The driver's handle of this stream; 0 for the default stream."""
        if self.stream_id == 0:
            return 0
        handle = self.native_handle
        _handles[handle] = self.stream_id, self.device_index
        return handle

    cuda_stream = trn_stream

    def record_event(self, event: Event | None = None) -> Event:
        """Records an event (a new one by default) at this stream's present end."""
        event = Event() if event is None else event
        event.record(self)
        return event

    def wait_event(self, event: torch.Event) -> None:
        """Holds this stream's later work until ``event`` is reached, without the host."""
        super().wait_event(event)

    def wait_stream(self, stream: torch.Stream) -> None:
        """Holds this stream's later work until ``stream``'s present end, without the host."""
        super().wait_stream(stream)

    def __eq__(self, other) -> bool:
        return isinstance(other, torch.Stream) and super().__eq__(other)

    def __hash__(self) -> int:
        return hash((self.stream_id, self.device_index))

    def __repr__(self) -> str:
        return f"torch.trn.Stream(device={self.device}, id={self.stream_id})"


class Event(torch.Event):
    """A point of a stream: waited for, queried, and with ``enable_timing`` timed."""

    def __new__(cls, enable_timing: bool = False, blocking: bool = False,
                interprocess: bool = False, external: bool = False):
        if interprocess:
            raise RuntimeError("trn events cannot be shared between processes")
        return super().__new__(cls, device="trn", enable_timing=enable_timing, blocking=blocking)

    def record(self, stream: torch.Stream | None = None) -> None:
        """Marks the present end of ``stream`` (the current one by default)."""
        super().record(current_stream() if stream is None else stream)

    def wait(self, stream: torch.Stream | None = None) -> None:
        """Holds the later work of ``stream`` until this event is reached, without the host."""
        super().wait(current_stream() if stream is None else stream)

    def elapsed_time(self, end_event: torch.Event) -> float:
        """Milliseconds from this event to ``end_event``."""
        return _C._elapsed_time(self, end_event)

    def __repr__(self) -> str:
        return f"<torch.trn.Event {hex(self.event_id) if self.event_id else 'uninitialized'}>"


class StreamContext:
    """Makes a stream (and its device) current inside; None does nothing."""

    def __init__(self, stream: torch.Stream | None):
        self.stream = stream
        self._before: list[tuple[int, torch.Stream]] = []

    def __enter__(self):
        if self.stream is not None:
            device = _C._current_device()
            self._before.append((device, current_stream(self.stream.device_index)))
            set_stream(self.stream)
            _C._set_device(self.stream.device_index)
        return self.stream

    def __exit__(self, *_) -> None:
        if self.stream is not None:
            device, before = self._before.pop()
            set_stream(before)
            _C._set_device(device)


def stream(stream: torch.Stream | None) -> StreamContext:
    """Context manager that selects a stream."""
    return StreamContext(stream)


def _wrap(plain: torch.Stream) -> Stream:
    return Stream(stream_id=plain.stream_id, device_index=plain.device_index,
                  device_type=plain.device_type)


def current_stream(device=None) -> Stream:
    """The current stream of a device (the current device by default)."""
    return _wrap(torch._C._accelerator_getStream(_get_device_index(device, optional=True)))


def default_stream(device=None) -> Stream:
    """The default stream of a device."""
    index = _get_device_index(device, optional=True)
    plain = torch._C._accelerator_getStream(index)
    return Stream(stream_id=_C._default_stream_id(index), device_index=index,
                  device_type=plain.device_type)


def set_stream(stream: torch.Stream | None) -> None:
    """Makes a stream current on its device; the current device stays."""
    if stream is None:
        return
    device = _C._current_device()
    torch._C._accelerator_setStream(stream)
    _C._set_device(device)


def _set_stream_by_id(stream_id: int, device_index: int, device_type: int) -> None:
    set_stream(Stream(stream_id=stream_id, device_index=device_index, device_type=device_type))


def is_current_stream_capturing() -> bool:
    """Whether the current stream is being captured into a graph."""
    return _C._is_current_stream_capturing()


class ExternalStream(Stream):
    """The stream that has the handle: one of this process, whose ``trn_stream`` gave it, or 0.

    Raises RuntimeError for any other: streams are made by torch.
    """

    def __new__(cls, stream_ptr: int, device=None, **kwargs):
        if stream_ptr == 0:
            stream_id, index = 0, _get_device_index(device, optional=True)
        elif stream_ptr in _handles:
            stream_id, index = _handles[stream_ptr]
        else:
            raise RuntimeError(f"no trn stream has the handle {stream_ptr:#x}: streams are made "
                               "by torch.trn.Stream")
        kind = default_stream(index).device_type
        return super().__new__(cls, stream_id=stream_id, device_index=index, device_type=kind)


def get_stream_from_external(data_ptr: int, device=None) -> Stream:
    """The stream of a handle, as ExternalStream finds it."""
    return ExternalStream(data_ptr, device)
