"""Stand-ins for CUDA-only packages, found only while CUDA is redirected and the package is absent.

Each says once that it stands in, and for what. What it has not raises ImportError or
AttributeError, as an older release of the package would.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.metadata
import importlib.util
import sys
import warnings

from ... import _C

# What is imported as, and the module here that it is.
_MODULES = {
    "flash_attn": "flash_attn", "flash_attn.flash_attn_interface": "flash_attn",
    "flash_attn.bert_padding": "flash_padding",
    "xformers": "xformers", "xformers.ops": "xformers_ops", "xformers.ops.fmha": "xformers_ops",
    "apex": "apex", "apex.optimizers": "apex_optimizers", "apex.normalization": "apex_norms",
    "apex.normalization.fused_layer_norm": "apex_layer_norm",
    "bitsandbytes": "bitsandbytes", "bitsandbytes.optim": "bitsandbytes_optim",
    "bitsandbytes.nn": "bitsandbytes_nn",
}
_SAYS = {
    "flash_attn": "attention is computed by scaled_dot_product_attention",
    "xformers": "attention is computed by scaled_dot_product_attention",
    "apex": "its optimizers and norms are computed by torch.optim and torch.nn",
    "bitsandbytes": "its optimizers keep their state in full precision, in the parameter's type",
}


class _Loader(importlib.abc.Loader):
    """Runs a stand-in's source as the module of the package's name."""

    def __init__(self, name: str) -> None:
        here = f"{__name__}.{_MODULES[name]}"
        self.source = importlib.util.find_spec(here)

    def create_module(self, spec):
        return None

    def exec_module(self, module) -> None:
        package = module.__name__
        if package in _SAYS:
            _C._note_redirection(_C._redirection_id(f"import {package}"))
            warnings.warn(f"{package} is not installed: torch-trn stands in, and "
                          f"{_SAYS[package]}", stacklevel=2)
        module.__file__ = self.source.origin
        module.__torch_trn_stand_in__ = True  # before its parts are imported
        exec(self.source.loader.get_code(self.source.name), module.__dict__)


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
    for name in _MODULES:
        if hasattr(sys.modules.get(name), "__torch_trn_stand_in__"):
            del sys.modules[name]
