"""torch.compile on trn: Inductor's C++ loops, launched on the queue, around trn's own kernels.

Nothing of PyTorch's compiler is imported until a program does so; then trn is registered with it.
"""

from __future__ import annotations

import importlib.abc
import importlib.util
import sys
from collections.abc import Callable

import torch


def _register_interface() -> None:
    from . import interface, layouts

    interface.register()
    layouts.register()


def _register_overrides() -> None:
    from .overrides import register

    register()


def _register_passes_and_cache_key() -> None:
    from . import cache_key, passes

    cache_key.register()
    passes.register()


def _register_flex_attention() -> None:
    from .flex import register_front

    register_front()


# What torch._inductor.codegen.common.init_backend_registration looks for in torch.trn.
GENERATORS = {"Scheduling": "TrnScheduling", "PythonWrapperCodegen": "TrnWrapperCodegen",
              "CppWrapperCodegen": "TrnCppWrapperCodegen", "WrapperFxCodegen": "WrapperFxCodegen"}


def generator(name: str) -> type:
    """One of GENERATORS: a class that generates code for trn."""
    from . import codegen

    return getattr(codegen, GENERATORS[name])


_AFTER: dict[str, Callable[[], None]] = {
    "torch._dynamo.device_interface": _register_interface,
    "torch._inductor.codegen.common": _register_overrides,
    "torch._inductor.compile_fx": _register_passes_and_cache_key,
    "torch.nn.attention.flex_attention": _register_flex_attention,
}


class _AfterImport(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Calls a function when a module has been imported, and is out of the way otherwise."""

    def __init__(self) -> None:
        self._waiting = dict(_AFTER)
        self._inner: dict[str, importlib.abc.Loader] = {}

    def find_spec(self, name, path=None, target=None):
        if name not in self._waiting or name in self._inner:
            return None
        self._inner[name] = None  # so that the search below does not come here again
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            del self._inner[name]
            return None
        self._inner[name], spec.loader = spec.loader, self
        return spec

    def create_module(self, spec):
        return self._inner[spec.name].create_module(spec)

    def exec_module(self, module) -> None:
        name = module.__name__
        module.__spec__.loader = module.__loader__ = self._inner[name]
        self._inner[name].exec_module(module)
        self._waiting.pop(name)()
        if not self._waiting:
            sys.meta_path.remove(self)


def _let_autocast_through() -> None:
    """Operators of functions (cond, checkpoint) look through autocast of trn, as through CUDA's."""
    key = torch._C.DispatchKey.AutocastPrivateUse1
    torch._ops._HIGHER_ORDER_OP_DEFAULT_FALLTHROUGH_DISPATCH_KEYS.append(key)
    for operator in torch._ops._higher_order_ops.values():
        operator.fallthrough(key)


def register_when_imported() -> None:
    """Registers trn with Dynamo and Inductor: now where they are imported, else when they are."""
    _let_autocast_through()
    finder = _AfterImport()
    for name in list(finder._waiting):
        if name in sys.modules:
            finder._waiting.pop(name)()
    if finder._waiting:
        sys.meta_path.insert(0, finder)
