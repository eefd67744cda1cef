"""Code generation: PyTorch's C++ loops, called through trn's queue."""

from __future__ import annotations

from torch._inductor import config
from torch._inductor.codegen.cpp import CppScheduling
from torch._inductor.codegen.wrapper import PythonWrapperCodegen, SubgraphPythonWrapperCodegen
from torch._inductor.codegen.wrapper_fxir import WrapperFxCodegen as WrapperFxCodegen
from torch._inductor.virtualized import V

from .devices import is_trn

# Stands first in a kernel for trn. The same loop for the CPU, in the same graph, is another kernel.
_QUEUED = "// Queued on trn.\n"


class TrnScheduling(CppScheduling):
    """Inductor's scheduling for C++, whose kernels the wrapper loads with ``on_queue``."""

    def __init__(self, scheduler) -> None:
        super().__init__(scheduler)
        if scheduler:
            # It is written for groups of Triton's scheduling, which it takes any device but the
            # CPU to have.
            scheduler._try_reindex_pointwise_for_reduction = lambda node1, node2: False
            call_extern = scheduler.codegen_extern_call

            def after_pending_loops(node):
                # Inductor does this where the call has a device; an event's record has none.
                self.flush()
                call_extern(node)

            scheduler.codegen_extern_call = after_pending_loops

    # Inductor knows what a kernel's language is from the device, and takes CUDA's for a device it
    # does not know; in here it is C++.
    def codegen_node(self, node):
        with config.patch(cuda_backend="cpp"):
            return super().codegen_node(node)

    def codegen_template(self, *args, **kwargs):
        with config.patch(cuda_backend="cpp"):
            return super().codegen_template(*args, **kwargs)

    def flush(self):
        with config.patch(cuda_backend="cpp"):
            return super().flush()

    def ready_to_flush(self):
        # A loop that waited for more would be called within another stream's block.
        return super().ready_to_flush() or self.scheduler._has_multi_stream_nodes()

    def define_kernel(self, src_code, *args, **kwargs):
        return super().define_kernel(_QUEUED + src_code, *args, **kwargs)


def is_on_the_host(arg) -> bool:
    """Whether a kernel's argument is a buffer in the host's memory."""
    buffer = V.graph.try_get_buffer(arg) if isinstance(arg, str) else None
    device = buffer.get_device() if buffer is not None else None
    return device is not None and device.type == "cpu"


class _Launches:
    """How a generated function, or a part of one, loads and calls kernels for trn."""

    def define_kernel(self, kernel_name, kernel_body, metadata=None, gpu=True,
                      cpp_definition=None):
        if _QUEUED in kernel_body:
            kernel_body = kernel_body.replace(
                "async_compile.cpp_pybinding(", f"on_queue({kernel_name!r}, async_compile, ")
        super().define_kernel(kernel_name, kernel_body, metadata, gpu, cpp_definition)

    def _generate_kernel_call_helper(self, kernel_name, call_args, *, device=None, triton=True,
                                     **kwargs):
        device = device or V.graph.get_current_device_or_throw()
        if triton or not is_trn(device):
            return super()._generate_kernel_call_helper(
                kernel_name, call_args, device=device, triton=triton, **kwargs)
        self.writeline(self.wrap_kernel_call(kernel_name, call_args))
        if any(is_on_the_host(arg) for arg in call_args):
            # Its memory may be gone before the queue reaches the kernel.
            self.writeline("torch.trn.current_stream().synchronize()")


class InGuard:
    """Loops are written when Inductor flushes them, which at a graph's end it does after it has
    left the guard of their device: on another device's queue they would not wait for theirs."""

    def codegen_device_guard_exit(self) -> None:
        V.graph.scheduler.flush()
        super().codegen_device_guard_exit()


class TrnSubgraphWrapperCodegen(InGuard, _Launches, SubgraphPythonWrapperCodegen):
    """The same for a graph within a graph: a branch, a loop's body, a nested region."""


class TrnWrapperCodegen(InGuard, _Launches, PythonWrapperCodegen):
    """The Python around the kernels: allocations, calls of ATen, launches."""

    @staticmethod
    def create(is_subgraph, subgraph_name, parent_wrapper, partition_signatures=None):
        if is_subgraph:
            return TrnSubgraphWrapperCodegen(subgraph_name, parent_wrapper, partition_signatures)
        return TrnWrapperCodegen()

    def write_header(self) -> None:
        super().write_header()
        self.imports.splice("from torch_trn.inductor.launch import on_queue")

    def generate_after_suffix(self, result) -> None:
        super().generate_after_suffix(result)
        # "triton" is what Inductor calls the option for every device.
        if (config.triton.cudagraphs and set(V.graph.device_types) == {"trn"}
                and len(V.graph.device_idxs) == 1):
            training = not V.graph.is_inference
            output = V.graph.module.graph.output_node()
            visible = output.meta.get("user_visible_output_idxs", []) if training else None
            result.splice(f"""
                from torch_trn.inductor.replay import Replayed
                call = Replayed(call, {min(V.graph.device_idxs)}, {visible},
                                {V.graph.mutated_input_idxs}, {V.graph.is_backward})
                """)
