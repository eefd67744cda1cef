"""Stand-ins for CUDA-only packages, found only while CUDA is redirected and the package is absent.

Each says once, when something of it is first called, that it stands in, and for what; who only
looks whether there is such a package, or imports its names, hears nothing. What it has not raises
ImportError or AttributeError, as an older release of the package would.
"""

from __future__ import annotations

import functools
import importlib.abc
import importlib.machinery
import importlib.metadata
import importlib.util
import sys
import types
import warnings
from typing import Any

from ... import _C

# What is imported as, and the module here that it is.
_MODULES = {
    "flash_attn": "flash_attn", "flash_attn.flash_attn_interface": "flash_attn",
    "flash_attn.bert_padding": "flash_padding",
    "xformers": "xformers", "xformers.ops": "xformers_ops", "xformers.ops.fmha": "xformers_ops",
    "apex": "apex", "apex.optimizers": "apex_optimizers", "apex.normalization": "apex_norms",
    "apex.normalization.fused_layer_norm": "apex_layer_norm",
    "apex.amp": "apex_amp", "apex.parallel": "apex_parallel",
    "bitsandbytes": "bitsandbytes", "bitsandbytes.optim": "bitsandbytes_optim",
    "bitsandbytes.nn": "bitsandbytes_nn",
}
_SAYS = {
    "flash_attn": "attention is computed by scaled_dot_product_attention",
    "xformers": "attention is computed by scaled_dot_product_attention",
    "apex": "its optimizers, norms, amp and parallel are torch.optim's, torch.nn's and autocast's",
    "bitsandbytes": "its optimizers keep their state in full precision, in the parameter's type",
}


_QUIET = {"bitsandbytes.nn"}  # names to test against: making one is refused
_announced: set[str] = set()


def _announce(package: str) -> None:
    if package in _announced:
        return
    _announced.add(package)
    _C._note_redirection(_C._redirection_id(f"import {package}"))
    warnings.warn(f"{package} is not installed: torch-trn stands in, and {_SAYS[package]}",
                  stacklevel=3)


_announce._dynamo_marked_constant = True  # compiled functions announce when they are traced


def _announcing(value: Any, package: str) -> Any:
    """A function or class that announces the package when it is first called or made."""
    told = value.__init__ if isinstance(value, type) else value

    @functools.wraps(told)
    def tell(*args, **kwargs):
        _announce(package)
        return told(*args, **kwargs)

    if not isinstance(value, type):
        return tell
    value.__init__ = tell
    return value


class _Loader(importlib.abc.Loader):
    """Runs a stand-in's source as the module of the package's name, which gives out what the source
    defines when it is asked for it."""

    def __init__(self, name: str) -> None:
        here = f"{__name__}.{_MODULES[name]}"
        self.source = importlib.util.find_spec(here)

    def create_module(self, spec):
        return None

    def exec_module(self, module) -> None:
        name = module.__name__
        module.__file__ = self.source.origin
        module.__torch_trn_stand_in__ = True  # before its parts are imported
        defined = {key: value for key, value in vars(module).items() if key.startswith("__")}
        exec(self.source.loader.get_code(self.source.name), defined)
        offered = {key: value for key, value in defined.items()
                   if not key.startswith("_")
                   and (value is module or not isinstance(value, types.ModuleType))}

        package = name.partition(".")[0]
        for key, value in offered.items():
            if name not in _QUIET and getattr(value, "__module__", None) == name:
                offered[key] = _announcing(value, package)

        def take(key):
            if key in defined and key.startswith("_"):
                return defined[key]  # torch.compile looks up what functions name
            if key not in offered:
                raise AttributeError(f"module {name!r} has no attribute {key!r}")
            return offered[key]

        module.__getattr__ = take
        module.__dir__ = lambda: [*vars(module), *offered]
        for key in ("__version__", "__all__"):
            if key in defined:
                setattr(module, key, defined[key])


class _Distribution(importlib.metadata.Distribution):
    """flash_attn as an installed distribution: transformers takes it by its metadata alone."""

    _FILES = {"METADATA": "Metadata-Version: 2.1\nName: flash-attn\nVersion: 2.8.3\n",
              "top_level.txt": "flash_attn\n"}

    def read_text(self, filename):
        return self._FILES.get(filename)

    def locate_file(self, path):
        raise FileNotFoundError(path)


class Finder(importlib.metadata.DistributionFinder):
    """Asked last, so that an installed package is always found first."""

    def find_distributions(self, context=None):
        name = getattr(context, "name", None)
        asked = name is None or name.lower().replace("_", "-") == "flash-attn"
        if asked and importlib.machinery.PathFinder.find_spec("flash_attn") is None:
            yield _Distribution()

    def find_spec(self, name, path=None, target=None):
        if name not in _MODULES:
            return None
        top = sys.modules.get(name.partition(".")[0])
        if "." in name and not hasattr(top, "__torch_trn_stand_in__"):
            return None  # a part that an installed package has not
        is_package = any(other.startswith(name + ".") for other in _MODULES)
        return importlib.util.spec_from_loader(name, _Loader(name), is_package=is_package)


def forget() -> None:
    """Takes the stand-ins out of the imported modules."""
    _announced.clear()
    for name in _MODULES:
        if hasattr(sys.modules.get(name), "__torch_trn_stand_in__"):
            del sys.modules[name]
