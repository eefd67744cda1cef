"""torch.compile on trn: Inductor's C++ loops, launched on the queue, around trn's own kernels.

Nothing of PyTorch's compiler is imported until a program does so; then trn is registered with it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable

import torch

from ..after_import import AfterImport


def _register_interface() -> None:
    from . import interface, layouts

    interface.register()
    layouts.register()


def _trace_streams() -> None:
    from torch._dynamo.variables.user_defined import UserDefinedClassVariable

    from .interface import trace_streams

    trace_streams(UserDefinedClassVariable._in_graph_classes())


def _skip_files() -> None:
    # What has random numbers and memory in it is called, not traced, as it is in torch.cuda.
    from torch._dynamo.trace_rules import FORCE_SKIP_FILES

    FORCE_SKIP_FILES.update(m.__file__ for m in (torch.trn.random, torch.trn.memory))


def _skip_frames() -> None:
    # What they call is no frame to compile either; in a graph it is inlined.
    from torch._dynamo.eval_frame import skip_code

    skip_code(torch.trn._utils._get_device_index.__code__)


def _keep_properties() -> None:
    # A device's properties stand in a graph as a constant, as CUDA's do.
    from torch._dynamo.utils import common_constant_types

    common_constant_types.add(torch.trn._device._DeviceProperties)


def _register_overrides() -> None:
    from .overrides import register

    register()


def _register_passes_and_cache_key() -> None:
    from . import cache_key, launch, passes

    launch.offer_headers()
    cache_key.register()
    passes.register()


def _keep_operators() -> None:
    from .kept import register

    register()


def _guard_devices() -> None:
    import torch._inductor.scheduler as scheduler

    from .overrides import guard_devices

    guard_devices(scheduler)


def _register_flex_attention() -> None:
    from .flex import register_front

    register_front()


# What torch._inductor.codegen.common.init_backend_registration looks for in torch.trn.
GENERATORS = {"Scheduling": ("codegen", "TrnScheduling"),
              "PythonWrapperCodegen": ("codegen", "TrnWrapperCodegen"),
              "CppWrapperCodegen": ("cpp_wrapper", "TrnCppWrapperCodegen"),
              "WrapperFxCodegen": ("codegen", "WrapperFxCodegen")}


def generator(name: str) -> type:
    """One of GENERATORS: a class that generates code for trn."""
    module, attribute = GENERATORS[name]
    return getattr(importlib.import_module(f".{module}", __name__), attribute)


_AFTER: dict[str, Callable[[], None]] = {
    "torch._dynamo.device_interface": _register_interface,
    "torch._dynamo.decorators": _skip_frames,
    "torch._dynamo.trace_rules": _skip_files,
    "torch._dynamo.utils": _keep_properties,
    "torch._dynamo.variables.user_defined": _trace_streams,
    "torch._inductor.codegen.common": _register_overrides,
    "torch._inductor.lowering": _keep_operators,
    "torch._inductor.scheduler": _guard_devices,
    "torch._inductor.compile_fx": _register_passes_and_cache_key,
    "torch.nn.attention.flex_attention": _register_flex_attention,
}


def _let_autocast_through() -> None:
    """Operators of functions (cond, checkpoint) look through autocast of trn, as through CUDA's."""
    key = torch._C.DispatchKey.AutocastPrivateUse1
    torch._ops._HIGHER_ORDER_OP_DEFAULT_FALLTHROUGH_DISPATCH_KEYS.append(key)
    for operator in torch._ops._higher_order_ops.values():
        operator.fallthrough(key)


def register_when_imported() -> None:
    """Registers trn with Dynamo and Inductor: now where they are imported, else when they are."""
    _let_autocast_through()
    AfterImport(_AFTER).install()
