"""What a generated wrapper says to choose devices and streams of trn."""

from __future__ import annotations

import functools

from torch._inductor.codegen.common import DeviceOpOverrides, register_device_op_overrides


class TrnOpOverrides(DeviceOpOverrides):
    """The lines of a generated wrapper that deal with devices and streams."""

    def import_get_raw_stream_as(self, name: str) -> str:
        return ("from torch_trn.inductor.interface import TrnInterface\n"
                f"{name} = TrnInterface.get_raw_stream")

    def set_device(self, device_idx: int) -> str:
        return f"torch.trn.set_device({device_idx})"

    def synchronize(self) -> str:
        return "torch.trn.synchronize()"

    def device_guard(self, device_idx: int) -> str:
        return f"torch.trn.device({device_idx})"

    def cpp_aoti_device_guard(self) -> str:
        return "TrnDeviceGuard"

    def cpp_aoti_stream_guard(self) -> str:
        return "TrnDeviceGuard"

    def cpp_kernel_type(self) -> str:
        return "void*"

    def current_stream(self) -> str:
        return "torch.trn.current_stream()"


def register() -> None:
    """Registers the lines; the code generators are found as attributes of torch.trn."""
    register_device_op_overrides("trn", TrnOpOverrides())


def guard_devices(scheduler) -> None:
    """Lets a generated function work on the device of its tensors, whichever is current.

    `scheduler` is Inductor's module of that name, which lists the types of device that need it.
    """
    listed = scheduler.device_need_guard

    @functools.wraps(listed)
    def device_need_guard(device: str) -> bool:
        return listed(device) or device == "trn"

    scheduler.device_need_guard = device_need_guard
