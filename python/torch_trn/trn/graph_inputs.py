"""The tensors that a graph reads and did not make: watched, so that none is gone on replay."""

from __future__ import annotations

import traceback
import weakref
from dataclasses import dataclass

import torch
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from .. import _C


@dataclass(frozen=True)
class _Input:
    storage: weakref.ref[torch.UntypedStorage]
    data_ptr: int
    what: str  # type, shape and the lines that used it first

    def alive(self) -> bool:
        storage = self.storage()
        return storage is not None and storage.data_ptr() == self.data_ptr


class InputWatch(TorchDispatchMode):
    """Notes the storages that a capture reads: torch.cuda's ``check_input_liveness``."""

    supports_higher_order_operators = True

    def __init__(self) -> None:
        super().__init__()
        self._inputs: dict[int, _Input] = {}
        self._made: set[int] = set()
        self._watching = False

    def start(self) -> None:
        """Watches this thread from now on."""
        self._watching = True
        self.__enter__()

    def stop(self) -> None:
        """Watches no more; a second call does nothing."""
        if self._watching:
            self._watching = False
            self.__exit__(None, None, None)

    def check(self) -> None:
        """Raises RuntimeError that names the inputs which are gone."""
        dead = [i.what for i in self._inputs.values() if not i.alive()]
        if dead:
            raise RuntimeError(f"graph replay detected {len(dead)} dead tensor(s).\n"
                               + "\n".join(dead[:5]))

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if _C._is_current_stream_capturing():
            for tensor in self._watched((args, kwargs)):
                self._note(func, tensor)
            self._made.update(t.untyped_storage().data_ptr() for t in self._watched(out)
                              if t.untyped_storage().data_ptr() not in self._inputs)
        return out

    @staticmethod
    def _watched(values) -> list[torch.Tensor]:
        return [t for t in pytree.tree_leaves(values) if isinstance(t, torch.Tensor)
                and (t.device.type in ("trn", "cuda") or t.is_pinned())]

    def _note(self, func, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        address = storage.data_ptr()
        if not address or address in self._made or address in self._inputs:
            return
        lines = "".join(traceback.format_stack()[:-3][-4:])
        what = f"{tensor.dtype} of shape {tuple(tensor.shape)}, first used by {func} in\n{lines}"
        self._inputs[address] = _Input(weakref.ref(storage), address, what)
