"""The one table of what is replaced in Python while CUDA is redirected.

``torch.cuda`` and its submodules get the function of the same name of ``torch.trn``, name by name;
below that stand the few places that need more than a name.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Iterator
from typing import Any

import torch
import torch.backends.cuda
import torch.backends.cudnn
import torch.cuda.comm
import torch.cuda.gds
import torch.cuda.memory
import torch.cuda.nccl
import torch.cuda.nvtx
import torch.cuda.profiler
import torch.cuda.random
import torch.cuda.sparse
import torch.cuda.streams
import torch.cuda.tunable
import torch.distributed
import torch.utils._triton

from .. import _C, trn
from . import (
    asking,
    comm,
    compiled,
    cuda_api,
    library,
    profiling,
    stand_ins,
    tensor_types,
    tunable,
    visible,
)
from .patch import LatePatch, Patch, Scripted


@functools.cache  # one a function: Dynamo knows torch.cuda's by identity, under any name
def counted(name: str, function):
    """``function``, counted as a redirection of ``name`` where a program calls it."""
    note = asking.noting(name)

    @functools.wraps(function)
    def redirected(*args, **kwargs):
        note()
        return function(*args, **kwargs)

    if name in compiled.CONSTANT:
        redirected._dynamo_marked_constant = True
    return redirected


def _trn_name(device_type: Any) -> Any:
    """"cuda" and "cuda:1" as autocast knows them: "trn"."""
    if isinstance(device_type, str) and device_type.split(":")[0] == "cuda":
        return "trn"
    return device_type


def _for_trn(name: str, function):
    """A function whose first argument (or ``device_type``) names a device type, CUDA's if none."""

    @functools.wraps(function)
    def redirected(*args, **kwargs):
        if "device_type" in kwargs:
            kwargs["device_type"] = _trn_name(kwargs["device_type"])
        elif args and isinstance(args[0], str):
            args = (_trn_name(args[0]), *args[1:])
        else:
            args = ("trn", *args)  # the old forms without a device mean CUDA
        return function(*args, **kwargs)

    return redirected


def _tensor_cuda(self, device=None, non_blocking=False, memory_format=torch.preserve_format):
    """Tensor.cuda: the tensor on trn."""
    # Without an index as the current device: compilers cannot see which that is.
    to = torch.device("trn") if device is None else torch.device(
        "trn", trn._utils._get_device_index(device, optional=True))
    return self.to(to, non_blocking=non_blocking, memory_format=memory_format)


def _in_host_memory(name: str):
    """Tensor.pin_memory and is_pinned: the accelerator's memory is trn's, whatever it is called."""
    original = getattr(torch.Tensor, name)

    @functools.wraps(original)
    def redirected(self, device=None):
        return original(self) if device is None or "cuda" in str(device) else original(self, device)

    return redirected


def _numpy(original):
    """Tensor.numpy, which names the device where it refuses its memory."""

    @functools.wraps(original)
    def redirected(self, *args, **kwargs):
        try:
            return original(self, *args, **kwargs)
        except TypeError as error:
            raise TypeError(str(error).replace("convert trn:", "convert cuda:")) from None

    return redirected


def _autocast_init(original):
    note = asking.noting("torch.autocast")

    @functools.wraps(original)
    def __init__(self, device_type, *args, **kwargs):  # noqa: N807
        if _trn_name(device_type) != device_type:
            note()
        original(self, _trn_name(device_type), *args, **kwargs)

    return __init__


# Names of torch.cuda that stay what they are: torch.cuda.amp works through torch.amp.
_KEPT = {"amp", "memory", "nvtx", "profiler", "random", "streams", "legacy", "report"}
# Private ones that torch itself or programs call.
_PRIVATE = {"_is_in_bad_fork", "_lazy_call", "_lazy_init", "_sleep", "_snapshot",
            "_dump_snapshot", "_record_memory_history", "_get_generator", "_set_stream_by_id"}
_PARTS = ("memory", "nvtx", "profiler", "random", "streams", "graphs", "sparse")


def _put(module, name: str, value: Any) -> Iterator[Patch]:
    everywhere = (getattr(trn, name, None), stand_ins.FUNCTIONS.get(name))
    torch_cuda_has_it = name in torch.cuda.__dict__ and any(value is v for v in everywhere)
    label = f"{(torch.cuda if torch_cuda_has_it else module).__name__}.{name}"
    if value is module.__dict__.get(name) or inspect.ismodule(value):
        return
    if inspect.isfunction(value) or inspect.isbuiltin(value):
        if name not in _PRIVATE:
            value = counted(label, value)
    yield Patch(module, name, value)  # a class stands in itself, so that isinstance holds


def _twins(cuda_module, trn_module) -> Iterator[Patch]:
    for name in dir(trn_module):
        if name in _KEPT or (name.startswith("_") and name not in _PRIVATE):
            continue
        if name in cuda_module.__dict__:
            yield from _put(cuda_module, name, getattr(trn_module, name))


def _refusals() -> Iterator[Patch]:
    for row in cuda_api.rows().values():
        module, _, name = row.name.rpartition(".")
        if row.mark != "refused" or not module.startswith("torch.cuda"):
            continue
        owner = sys.modules[module]
        before = owner.__dict__.get(name)
        if inspect.ismodule(before):
            continue  # its functions have rows of their own
        stand = stand_ins.refuse_class if inspect.isclass(before) else stand_ins.refuse
        value = stand(row.name)
        for place in (owner, *(getattr(torch.cuda, p) for p in _PARTS)):
            if before is not None and place.__dict__.get(name) is before:
                yield Patch(place, name, value)


def _cuda() -> Iterator[Patch]:
    """torch.cuda and its submodules."""
    cuda = torch.cuda
    yield from _twins(cuda, trn)
    for part in _PARTS:
        if hasattr(trn, part):
            yield from _twins(getattr(cuda, part), getattr(trn, part))
    for name, value in stand_ins.FUNCTIONS.items():
        for module in (cuda, cuda.memory, cuda.graphs):
            if name in module.__dict__:
                yield from _put(module, name, value)
    for name, value in tunable.FUNCTIONS.items():
        yield from _put(cuda.tunable, name, value)
    for name, value in comm.NCCL.items():
        yield from _put(cuda.nccl, name, value)
    for name, value in comm.NATIVE.items():
        yield Patch(torch._C, name, value)
    for name, value in visible.counted_by_environment().items():
        yield from _put(cuda, name, value)
    yield from _refusals()
    yield Patch(cuda, "_cudart", stand_ins.CudaRuntime())
    yield Patch(cuda, "default_generators", trn.random.default_generators())
    yield Patch(cuda, "has_half", True)
    # Always: torch.utils.checkpoint keeps generators' states only of a device that has begun.
    yield Patch(cuda, "_initialized", True)
    yield Patch(trn.device, "__init__", counted("torch.cuda.device", trn.device.__init__))
    yield Patch(trn.Event, "__new__", staticmethod(counted("torch.cuda.Event",
                                                           trn.Event.__new__)))


def _backends() -> Iterator[Patch]:
    cuda, cudnn = torch.backends.cuda, torch.backends.cudnn
    yield Patch(cuda, "is_built", lambda: True)
    # Inductor imports this type wherever CUDA is built; only CUDA's graphs make one.
    yield Patch(torch._C, "_cuda_CUDAAllocator_AllocatorState", type("AllocatorState", (), {}))
    # Asked before it looks whether a graph is CUDA's at all.
    yield Patch(torch._C, "_cuda_cudaCachingAllocator_is_enabled", lambda: True)
    yield Patch(torch._C, "_cuda_attach_out_of_memory_observer",
                _C._attach_out_of_memory_observer)
    yield Patch(cuda, "cufft_plan_cache", stand_ins.CufftPlanCache())
    for name, takes in stand_ins.ATTENTION.items():
        yield Patch(cuda, name, takes)
    for name in ("preferred_linalg_library", "preferred_blas_library"):
        yield Patch(cuda, name, stand_ins.remembering(getattr(cuda, name)))
    yield Patch(cudnn, "is_acceptable", lambda tensor: False)
    yield Patch(cudnn, "is_available", lambda: True)
    yield Patch(cudnn, "version", lambda: 91002)
    if torch.version.cuda is None:
        yield Patch(torch.version, "cuda", "13.0")


def _tensors() -> Iterator[Patch]:
    yield Patch(torch.Tensor, "cuda", counted("torch.Tensor.cuda", _tensor_cuda))
    for name in ("pin_memory", "is_pinned"):
        yield Patch(torch.Tensor, name, _in_host_memory(name))
    yield Patch(torch.Tensor, "numpy", _numpy(torch.Tensor.numpy))
    # A trn device says "cuda" now, so torch's own is_trn would say False.
    yield Patch(torch.Tensor, "is_trn", _C._tensor_is_trn())
    yield Patch(torch.Tensor, "is_cuda", _C._tensor_is_cuda())
    yield Patch(torch.Tensor, "type", tensor_types.answering(torch.Tensor.type))
    yield tensor_types.DefaultType()
    yield Patch(torch.nn.Module, "cuda", counted("torch.nn.Module.cuda", torch.nn.Module.cuda))


def _mixed_precision() -> Iterator[Patch]:
    yield Patch(torch.amp.autocast, "__init__", _autocast_init(torch.amp.autocast.__init__))
    yield Patch(torch.amp.GradScaler, "__init__",
                counted("torch.amp.GradScaler", torch.amp.GradScaler.__init__))
    for name in ("is_autocast_enabled", "set_autocast_enabled", "get_autocast_dtype",
                 "set_autocast_dtype"):
        original = getattr(torch, name)
        value = _for_trn(name, original)
        yield Patch(torch, name, value)
        yield Scripted(value, original)
    available = _for_trn("is_autocast_available", torch.amp.is_autocast_available)
    yield Patch(torch.amp, "is_autocast_available", available)
    yield Patch(torch.amp.autocast_mode, "is_autocast_available", available)
    yield Patch(torch, "get_autocast_gpu_dtype", lambda: torch.get_autocast_dtype("trn"))
    yield Patch(torch, "set_autocast_gpu_dtype",
                lambda dtype: torch._C.set_autocast_dtype("trn", dtype))


def _distributed() -> Iterator[Patch]:
    from . import collectives

    # Those that hold the names: device meshes make the default group themselves.
    holders = (torch.distributed, torch.distributed.distributed_c10d,
               torch.distributed.device_mesh)
    for name, value in collectives.replacements():
        for module in holders:
            if hasattr(module, name):
                yield Patch(module, name, value)
    if not hasattr(torch.distributed, "ProcessGroupNCCL"):  # torch's own code names it, too
        for module in holders[:2]:
            yield Patch(module, "ProcessGroupNCCL", collectives.ProcessGroupNCCL)


def patches() -> Iterator[Patch]:
    """Everything that is replaced, in the order of application."""
    originals = (torch.is_autocast_enabled, torch.get_autocast_dtype)
    yield from _cuda()
    yield from _backends()
    yield from _tensors()
    yield from _mixed_precision()
    yield from profiling.patches()
    if torch.distributed.is_available():
        yield from _distributed()
    yield from compiled.foldings(originals)
    inductor = torch._TorchCompileInductorWrapper
    yield Patch(inductor, "__call__", compiled.for_trn(inductor.__call__))
    yield LatePatch("torch._inductor", "aot_compile", compiled.ahead_of_time)
    yield LatePatch("torch._dynamo.backends.cudagraphs", "check_for_skip",
                    compiled.no_cuda_graphs)
    for name in ("_exchange_fn", "_maybe_exchange_fn"):
        yield LatePatch("torch._dynamo.variables.ctx_manager", f"CUDADeviceVariable.{name}",
                        lambda _: staticmethod(trn._device._exchange))
    for name, value in compiled.TRITON.items():
        yield Patch(torch.utils._triton, name, value)
    yield Patch(torch.library.Library, "impl", library.for_trn(torch.library.Library.impl))
