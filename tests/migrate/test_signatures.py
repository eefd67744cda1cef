"""What programs pass to torch.cuda by name is taken by name: parameters compared with CUDA's."""

import importlib
import inspect

import pytest
import torch
from torch_trn.migration import cuda_api, scope

if torch.cuda.is_available():
    pytest.skip("these tests are about machines without CUDA", allow_module_level=True)

MODULES = ("", ".graphs", ".memory", ".random", ".nvtx", ".amp", ".comm", ".nccl",
           ".profiler", ".tunable")
VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def served(name):
    row = cuda_api.find(name)
    return row is not None and row.mark != "refused"


def functions():
    """What the public names of torch.cuda are now, with the methods of those that are classes."""
    for part in MODULES:
        module = importlib.import_module("torch.cuda" + part)
        for name in module.__all__:
            full, value = f"{module.__name__}.{name}", getattr(module, name)
            if not served(full) or not callable(value):
                continue
            yield full, value
            if inspect.isclass(value) and not name.endswith(("Tensor", "Storage")):
                yield from ((f"{full}.{a}", getattr(value, a)) for a in vars(value)
                            if not a.startswith("_") and callable(getattr(value, a)))


def parameters(function):
    """Names of parameters and whether any keyword is taken; None where Python cannot tell."""
    try:
        found = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    names = {p.name for p in found if p.kind not in VARIADIC and p.name != "self"}
    return names, any(p.kind == inspect.Parameter.VAR_KEYWORD for p in found)


CUDAS = {name: parameters(function) for name, function in functions()
         if not name.endswith("Tensor") and parameters(function)}
#: Events are not shared between processes (docs/limits.md).
SHARED = {"Event.from_ipc_handle", "Event.ipc_handle"}
#: They hand out NVIDIA's own objects; a program that asks is told by AttributeError.
NVIDIAS = {"CUDAGraph.raw_cuda_graph", "CUDAGraph.raw_cuda_graph_exec", "CUDAGraph.get_graph_data"}


@pytest.mark.parametrize("name", [n for n in CUDAS if not n.endswith(tuple(NVIDIAS | SHARED))])
def test_parameters_have_cudas_names(name):
    owner, _, attribute = name.rpartition(".")
    with scope():
        value = torch
        for part in owner.split(".")[1:]:
            value = getattr(value, part)
        ours = parameters(getattr(value, attribute))
    wanted = CUDAS[name][0]
    if ours is None:  # written in C: names cannot be asked for, so there must be none
        assert not wanted, f"{name} takes {wanted}"
    else:
        assert ours[1] or wanted <= ours[0], f"{name} lacks {wanted - ours[0]}"
