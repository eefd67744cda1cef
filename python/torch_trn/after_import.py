"""Functions that wait for a module of PyTorch's to be imported."""

from __future__ import annotations

import importlib.abc
import importlib.util
import sys
from collections.abc import Callable, Mapping


class AfterImport(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Calls a function when a module has been imported, and is out of the way otherwise."""

    def __init__(self, waiting: Mapping[str, Callable[[], None]]) -> None:
        self._waiting = dict(waiting)
        self._inner: dict[str, importlib.abc.Loader | None] = {}

    def install(self) -> None:
        """Calls at once what waits for modules that are there, and waits for the others."""
        for name in [name for name in self._waiting if name in sys.modules]:
            self._waiting.pop(name)()
        if self._waiting:
            sys.meta_path.insert(0, self)

    def remove(self) -> None:
        """Waits no longer."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)

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
            self.remove()
