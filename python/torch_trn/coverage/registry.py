"""How an ATen overload gets its result on trn, found out from the dispatcher and measurements.

native      a kernel of trn is registered for it
decomposed  PyTorch's own code computes it from other operators, each with its own status
fallback    it runs on the CPU through device copies, counted
refused     it raises: a view without a kernel, or an operator that the CPU lacks as well
"""

from __future__ import annotations

import functools
import json
from pathlib import Path

import torch

STATUSES = ("native", "decomposed", "fallback", "refused")
TYPES = (
    "float32", "float64", "bfloat16", "float16", "int64", "int32", "int16", "int8", "uint8",
    "bool", "complex64", "complex128",
)
MEASURED = Path(__file__).with_name("measured.json")

_COMPOSITE = (
    "CompositeImplicitAutograd", "CompositeExplicitAutograd",
    "CompositeExplicitAutogradNonFunctional",
)

_LAYOUTS = ("Sparse", "SparseCsr", "Quantized", "NestedTensor")


def _has(name: str, key: str) -> bool:
    return torch._C._dispatch_has_kernel_for_dispatch_key(name, key)


def _is_view(name: str) -> bool:
    base, _, overload = name.partition(".")
    schema = torch._C._get_schema(base, overload)
    return any(r.alias_info is not None and not r.alias_info.is_write for r in schema.returns)


def _found_out(name: str) -> str:
    if _has(name, "PrivateUse1"):
        return "native"
    if any(_has(name, key) for key in _COMPOSITE):
        return "decomposed"
    layouts = ("",) if _has(name, "CPU") else _LAYOUTS  # operators of sparse tensors alone
    if any(_has(name, f"{layout}PrivateUse1") for layout in layouts):
        return "native"
    there = any(_has(name, f"{layout}CPU") for layout in layouts)
    return "fallback" if there and not _is_view(name) else "refused"


@functools.cache
def registered() -> dict[str, str]:
    """{"aten::add.Tensor": status} of every ATen overload, without regard to types."""
    names = sorted(n for n in torch._C._dispatch_get_all_op_names() if n.startswith("aten::"))
    return {name: _found_out(name) for name in names}


@functools.cache
def measured() -> dict:
    """What the sweep over PyTorch's operator database found; empty if it never ran."""
    return json.loads(MEASURED.read_text()) if MEASURED.exists() else {}


def op_status(name: str, dtype: torch.dtype | None = None) -> str:
    """"native", "decomposed", "fallback" or "refused" for an overload such as "aten::eye.m_out".

    "aten::" may be left out. With a type, what the sweep over PyTorch's operator database saw for
    it comes first: an operator may have kernels for some types only, and a decomposed one may be
    made of operators that fall back. Raises KeyError for a name that no ATen overload has.
    """
    name = name if "::" in name else "aten::" + name
    statuses = registered()
    if name not in statuses:
        raise KeyError(f"{name} is no overload of this torch; with an overload it is written "
                       "aten::add.Tensor")
    return by_type(name).get(_word(dtype), statuses[name]) if dtype else statuses[name]


def _word(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def by_type(name: str) -> dict[str, str]:
    """{type: status} as measured; empty when it was not, or when the kernels changed since."""
    row = measured().get("overloads", {}).get(name)
    if not row or row["registered"] != registered()[name]:
        return {}
    letters = {status[0]: status for status in STATUSES}
    return {t: letters[c] for t, c in zip(TYPES, row["types"], strict=True) if c in letters}


@functools.cache
def cuda_overloads() -> frozenset[str]:
    """The overloads for which PyTorch itself has a kernel of CUDA's: its own list in torchgen."""
    import torchgen
    from torchgen.gen import parse_native_yaml
    from torchgen.model import DispatchKey

    root = Path(torchgen.__file__).parent / "packaged/ATen/native"
    parsed = parse_native_yaml(str(root / "native_functions.yaml"), str(root / "tags.yaml"))
    index = parsed.backend_indices[DispatchKey.CUDA]
    found = {f"aten::{f.func.name}" for f in parsed.native_functions
             if index.has_kernel(f) or _of_structured(f, index)}
    return frozenset(found & registered().keys())


def _of_structured(f, index) -> bool:
    # A structured operator's kernel stands with its out= overload only.
    return f.structured_delegate is not None and f.structured_delegate in index.index
