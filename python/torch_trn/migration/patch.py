"""One attribute that is another while CUDA is redirected."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch.jit._builtins as _builtins

from ..after_import import AfterImport

_MISSING = object()


@dataclass
class Patch:
    """One attribute and what it is while CUDA is redirected."""

    owner: Any
    name: str
    value: Any
    before: Any = _MISSING

    def apply(self) -> None:
        self.before = self.owner.__dict__.get(self.name, _MISSING)
        setattr(self.owner, self.name, self.value)

    def undo(self) -> None:
        if self.before is _MISSING:
            delattr(self.owner, self.name)
        else:
            setattr(self.owner, self.name, self.before)


class LatePatch:
    """A patch of a module that is slow to import: applied when the program imports it, if ever.

    ``name`` is an attribute of the module or, after a dot, of a class in it. ``wrap`` makes the
    new value from the old one.
    """

    def __init__(self, module: str, name: str, wrap: Callable[[Any], Any]) -> None:
        self._module, self._name, self._wrap = module, name, wrap
        self._after = AfterImport({module: self._now})
        self._patch: Patch | None = None

    def _now(self) -> None:
        within, _, name = self._name.rpartition(".")
        owner = sys.modules[self._module]
        if within:
            owner = getattr(owner, within)
        self._patch = Patch(owner, name, self._wrap(getattr(owner, name)))
        self._patch.apply()

    def apply(self) -> None:
        self._after.install()

    def undo(self) -> None:
        self._after.remove()
        if self._patch:
            self._patch.undo()
            self._patch = None


class Scripted:
    """A replacement that TorchScript compiles to the operator of what it replaces, if any."""

    def __init__(self, replacement: Callable, original: Callable) -> None:
        self._replacement, self._operator = replacement, _builtins._find_builtin(original)

    def apply(self) -> None:
        if self._operator:
            _builtins._register_builtin(self._replacement, self._operator)

    def undo(self) -> None:
        _builtins._get_builtin_table().pop(id(self._replacement), None)
