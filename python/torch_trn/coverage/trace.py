"""Which operators of a model would fall back on trn, from a trace that computes nothing."""

from __future__ import annotations

import runpy
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

from .registry import by_type, op_status, registered


class _Recorder(TorchDispatchMode):
    """Counts (overload, type) of what is dispatched."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[tuple[str, torch.dtype | None]] = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        found = [t for t in tree_flatten((args, kwargs, result))[0] if isinstance(t, torch.Tensor)]
        floating = [t.dtype for t in found if t.is_floating_point() or t.is_complex()]
        dtype = (floating or [t.dtype for t in found] or [None])[0]
        self.calls[(func.name(), dtype)] += 1
        return result


def load(target: str) -> Callable:
    """The function named by "path/to/model.py:make". Raises ValueError where there is none."""
    path, _, name = target.rpartition(":")
    if not path or not Path(path).is_file():
        raise ValueError(f"expected path/to/model.py:function, got {target}")
    made = runpy.run_path(path, run_name="torch_trn_coverage")
    if not callable(made.get(name)):
        raise ValueError(f"{path} has no function {name}")
    return made[name]


def trace(make: Callable, backward: bool = True) -> Counter:
    """Calls by (overload, type) of a model's forward, and backward where it has one.

    `make()` returns (model, inputs): a module or function, and the tuple of its arguments or a
    dict of keyword arguments; what names no device is made on trn. All of it runs under
    FakeTensorMode: no memory, no computing.
    """
    with FakeTensorMode(allow_non_fake_inputs=True), _on_trn():
        made = make()
        if not isinstance(made, tuple) or len(made) != 2:
            raise ValueError("the function has to return (model, inputs)")
        model, inputs = made
        if not isinstance(inputs, (tuple, list, dict)):
            raise ValueError("the inputs have to be a tuple, or a dict of keyword arguments")
        inputs = tree_map(lambda t: t.to("trn") if isinstance(t, torch.Tensor) else t, inputs)
        recorder = _Recorder()
        with recorder:
            output = model(**inputs) if isinstance(inputs, dict) else model(*inputs)
            losses = [t for t in tree_flatten(output)[0]
                      if isinstance(t, torch.Tensor) and t.requires_grad]
            if backward and losses:
                sum(t.float().sum() for t in losses).backward()
    return recorder.calls


def _on_trn():
    return torch.device("trn")


def summary(calls: Counter) -> list[dict]:
    """One row an overload and type: {"operator", "type", "calls", "status"}, worst first."""
    rows = []
    for (name, dtype), count in calls.items():
        known = name in registered()
        rows.append({
            "operator": name, "type": str(dtype).removeprefix("torch."), "calls": count,
            "status": op_status(name, dtype) if known else "other",
            "measured": known and str(dtype).removeprefix("torch.") in by_type(name),
        })
    order = {"refused": 0, "fallback": 1, "other": 2, "decomposed": 3, "native": 4}
    return sorted(rows, key=lambda r: (order[r["status"]], -r["calls"], r["operator"]))
