"""What Dynamo asks a device: streams, events, properties, capabilities."""

from __future__ import annotations

import torch
from torch._dynamo.device_interface import DeviceInterface, register_interface_for_device


def _index(device) -> int:
    if device is None:
        return torch.trn.current_device()
    return device if isinstance(device, int) else torch.device(device).index or 0


class TrnInterface(DeviceInterface):
    device = torch.trn.device
    Event = torch.trn.Event
    Stream = torch.trn.Stream

    class Worker:
        # Compile workers are processes without a device.
        @staticmethod
        def set_device(device: int) -> None:
            pass

        @staticmethod
        def current_device() -> int:
            return 0

        @staticmethod
        def get_device_properties(device=None):
            return torch.trn.get_device_properties(_index(device))

    current_device = staticmethod(torch.trn.current_device)
    set_device = staticmethod(torch.trn.set_device)
    device_count = staticmethod(torch.trn.device_count)
    is_available = staticmethod(torch.trn.is_available)
    stream = staticmethod(torch.trn.stream)
    current_stream = staticmethod(torch.trn.current_stream)
    set_stream = staticmethod(torch.trn.set_stream)
    _set_stream_by_id = staticmethod(torch.trn._set_stream_by_id)
    synchronize = staticmethod(torch.trn.synchronize)
    get_device_properties = staticmethod(torch.trn.get_device_properties)
    memory_allocated = staticmethod(torch.trn.memory_allocated)

    @staticmethod
    def get_raw_stream(device_index: int) -> int:
        return torch.trn.current_stream(device_index).stream_id

    @staticmethod
    def exchange_device(device: int) -> int:
        before = torch.trn.current_device()
        torch.trn.set_device(device)
        return before

    maybe_exchange_device = exchange_device

    @staticmethod
    def get_compute_capability(device=None):
        return torch.trn.get_device_capability(device)

    @staticmethod
    def is_bf16_supported(including_emulation: bool = False) -> bool:
        return True

    @staticmethod
    def is_dtype_supported(dtype: torch.dtype, including_emulation: bool = False) -> bool:
        return True

    @staticmethod
    def is_triton_capable(device=None) -> bool:
        return False

    @staticmethod
    def raise_if_triton_unavailable(device=None) -> None:
        raise RuntimeError("Triton does not generate code for trn")


def register() -> None:
    """Makes the interface known under "trn" and every "trn:<index>"."""
    register_interface_for_device("trn", TrnInterface)
    for index in range(torch.trn.device_count()):
        register_interface_for_device(f"trn:{index}", TrnInterface)


def trace_streams(classes: set[type]) -> None:
    """Adds trn's streams and events to Dynamo's set of classes whose objects a graph may make."""
    classes.update({torch.trn.Stream, torch.trn.Event})
