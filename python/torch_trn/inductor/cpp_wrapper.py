"""Wrappers in C++: config.cpp_wrapper, and the packages of AOTInductor."""

from __future__ import annotations

from torch._inductor.codegen.cpp_utils import DEVICE_TO_ATEN
from torch._inductor.codegen.cpp_wrapper_cpu import CppWrapperCpu
from torch._inductor.virtualized import V

from .cache_key import built
from .codegen import InGuard, is_on_the_host
from .devices import is_trn

DEVICE_TO_ATEN["trn"] = "at::kPrivateUse1"


class TrnCppWrapperCodegen(InGuard, CppWrapperCpu):
    """The C++ around the kernels: calls of operators by c_shim_trn.h, loops on the queue."""

    def __init__(self) -> None:
        self.device = "trn"
        super().__init__()

    @staticmethod
    def create(is_subgraph, subgraph_name, parent_wrapper, partition_signatures=None):
        return TrnCppWrapperCodegen()

    def write_header(self) -> None:
        super().write_header()
        # A cache knows this source by its text, not by trn's headers.
        self.header.writeline(f"// torch-trn {built}")
        if not V.graph.aot_mode:
            self.imports.splice("""
                from torch_trn.inductor.launch import show_symbols
                show_symbols()
                """)

    def _generate_kernel_call_helper(self, kernel_name, call_args, *, device=None, triton=True,
                                     arg_types=None, **kwargs):
        device = device or V.graph.get_current_device_or_throw()
        if is_trn(device):
            super()._generate_kernel_call_helper(
                "trn_launch", [f'"{kernel_name}"', f"&{kernel_name}", *call_args], device=device,
                triton=False, arg_types=["", "", *arg_types], **kwargs)
            if any(is_on_the_host(arg) for arg in call_args):
                # Its memory may be gone before the queue reaches the kernel.
                self.writeline("trn_check(trn_synchronize());")
        else:
            super()._generate_kernel_call_helper(kernel_name, call_args, device=device,
                                                 triton=triton, arg_types=arg_types, **kwargs)
