"""torch.distributed's CUDA names: "nccl" is trn's own backend, and answers to its old name."""

from __future__ import annotations

import datetime
import functools
import types
from collections.abc import Callable, Iterator
from typing import Any

import torch.distributed.distributed_c10d as c10d

from .. import _C

NAME = "trnccl"

#: What programs asked for where that is more than the backends' names say, by the group's name:
#: Gloo moves CUDA's tensors too, and trn's here are moved by trn's own backend, over Gloo as well.
_asked: dict[str, str] = {}


def is_there() -> bool:
    """Whether trn has a backend of its own in this build."""
    return NAME in c10d.Backend.backend_list


def backend_for_trn(backend: str | None) -> str | None:
    """"nccl", "gloo" and "cuda:nccl,cpu:gloo" as torch.distributed knows them on trn.

    None, PyTorch's choice for the accelerator, becomes both devices' backends, and "gloo", which
    serves both on CUDA, too.
    """
    if backend is None or str(backend).lower() == "gloo":
        return f"cpu:gloo,trn:{NAME}"
    parts = []
    for part in str(backend).lower().split(","):
        device, colon, name = part.rpartition(":")
        own = name == "nccl" or (device == "cuda" and name == "gloo")
        device = "trn" if device == "cuda" else device
        parts.append(device + colon + (NAME if own else name))
    return ",".join(parts)


def _remember(group: Any, given: str | None) -> None:
    """Keeps what a program asked for if it is Gloo for CUDA's tensors."""
    text = str(given or "").lower()
    if text == "gloo" or "cuda:gloo" in text.split(","):
        _asked[group.group_name] = text
    else:
        _asked.pop(group.group_name, None)


def _settle(group: Any) -> None:
    # PyTorch looks for a custom backend under its name in capitals, does not find it among several
    # and leaves such a group without a default, which it then warns about; NCCL's is the default.
    types = c10d.ProcessGroup.BackendType
    if type(group) is c10d.ProcessGroup and group.name() == "undefined":
        asked_gloo = group.group_name in _asked
        group._set_default_backend(types.GLOO if asked_gloo else types.CUSTOM)


def _with_backend(name: str, original: Callable, position: int, inherits: bool) -> Callable:
    redirection = _C._redirection_id(f"torch.distributed.{name}")

    @functools.wraps(original)
    def redirected(*args: Any, **kwargs: Any):
        given = args[position] if len(args) > position else kwargs.get("backend")
        if given is None and inherits:
            inherited = _asked.get(c10d._get_default_group().group_name)
        else:
            inherited = given
        if is_there() and (given is not None or not inherits):
            meant = backend_for_trn(given)
            if meant != given:
                _C._note_redirection(redirection)
            if len(args) > position:
                args = (*args[:position], meant, *args[position + 1:])
            else:
                kwargs["backend"] = meant
        made = original(*args, **kwargs)
        group = c10d._get_default_group() if made is None else made
        if is_there() and isinstance(group, c10d.ProcessGroup):  # who is not in it has a number
            _remember(group, inherited)
            _settle(group)
        return made

    return redirected


def name_for_program(backend: str) -> str:
    """What torch.distributed calls trn's backends, in CUDA's names."""
    parts = []
    for part in backend.split(","):
        device, colon, name = part.rpartition(":")
        device = "cuda" if device == "trn" else device
        parts.append(device + colon + ("nccl" if name == NAME else name))
    return ",".join(parts)


def _says_nccl(original: Callable) -> Callable:
    @functools.wraps(original)
    def get_backend(group: Any = None):
        found = original(group)
        asked = _asked.get((group or c10d._get_default_group()).group_name)
        return asked or name_for_program(found)

    return get_backend


class ProcessGroupNCCL:
    """NCCL's backend by name, for builds without NCCL: no group is one, its options do nothing."""

    NCCL_CTA_POLICY_DEFAULT, NCCL_CTA_POLICY_EFFICIENCY, NCCL_CTA_POLICY_ZERO = range(3)

    class Options:
        """What a program may ask of NCCL, kept for it to read."""

        def __init__(self, is_high_priority_stream: bool = False) -> None:
            self.backend = "nccl"
            self.is_high_priority_stream = is_high_priority_stream
            self.config = types.SimpleNamespace()
            self.global_ranks_in_group: list[int] = []
            self.group_name = ""
            self._timeout = datetime.timedelta(minutes=10)


ProcessGroupNCCL.__module__ = c10d.__name__


def replacements() -> Iterator[tuple[str, Any]]:
    """(name, value) of torch.distributed and of the module that defines it."""
    yield "init_process_group", _with_backend("init_process_group", c10d.init_process_group, 0,
                                              inherits=False)
    yield "new_group", _with_backend("new_group", c10d.new_group, 2, inherits=True)
    yield "get_backend", _says_nccl(c10d.get_backend)
    available = c10d.is_nccl_available
    yield "is_nccl_available", functools.wraps(available)(lambda: is_there() or available())
