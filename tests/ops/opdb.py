"""PyTorch's operator database as pairs of equal inputs: one on the CPU, one on trn."""

from __future__ import annotations

import functools
import itertools
import math

import torch
from torch.testing._internal.common_methods_invocations import op_db
from torch.utils._pytree import tree_flatten, tree_map

DTYPES = (
    torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.int64, torch.int32,
    torch.int16, torch.int8, torch.uint8, torch.bool, torch.complex64, torch.complex128,
)
# How far from the CPU a result may lie, relatively and absolutely. The CPU adds in another order.
TOLERANCE = {
    torch.float64: 1e-7, torch.complex128: 1e-7, torch.bfloat16: 3e-2, torch.float16: 5e-3,
}
# Entries whose results hold fewer digits than their type, those types and the tolerance: cov's
# samples weigh in float32 always, and it divides by a difference of sums that cancels; the others'
# derivatives divide by what was multiplied.
ROUGH = {
    "cov": (None, 1e-3), "linalg.householder_product": (torch.complex64, 1e-2),
    "masked.prod": (torch.float16, 2e-2),
}
HALVES = {torch.bfloat16, torch.float16}
WIDER = {
    torch.float32: torch.float64, torch.bfloat16: torch.float64, torch.float16: torch.float64,
    torch.complex64: torch.complex128,
}
# Entries that keep their statistics in float32 for halves, as CUDA does and the CPU does not.
FLOAT_STATISTICS = {
    "native_layer_norm", "native_batch_norm", "_native_batch_norm_legit", "_batch_norm_with_update",
}
# Entries with outputs whose order among equals is not told: those outputs are not compared.
TIES = {"topk", "kthvalue", "sort", "argsort", "msort", "mode", "median", "nanmedian"}

# Entries with vectors that are free in sign or phase, or with results of matrices that have none:
# what is the same for every right choice.
DETERMINED = {
    "linalg.eigh": lambda v, q: [v, (q * v.unsqueeze(-2).to(q)) @ q.mH, q @ q.mH],
    "linalg.svd": lambda u, s, vh: [s, _product(u, s, vh), u @ u.mH, vh.mH @ vh],
    "svd": lambda u, s, v: [s, _product(u, s, v.mH), u @ u.mH, v @ v.mH],
    "linalg.cholesky_ex": lambda f, info: [f.where((info == 0)[..., None, None], 0), info],
}


def _product(u, s, vh):
    k = s.size(-1)
    return (u[..., :k] * s.unsqueeze(-2).to(u)) @ vh[..., :k, :]


def full_name(op) -> str:
    return op.name + ("." + op.variant_test_name if op.variant_test_name else "")


ENTRIES = {full_name(op): op for op in op_db if not op.name.startswith("jiterator")}


def types_of(op) -> list[torch.dtype]:
    """Types that the CPU or CUDA has for this entry."""
    known = set(op.dtypes) | set(op.dtypesIf.get("cuda", op.dtypes))
    return [d for d in DTYPES if d in known]


def cuda_has(op, dtype: torch.dtype) -> bool:
    return dtype in set(op.dtypesIf.get("cuda", op.dtypes))


def tensors(tree) -> list[torch.Tensor]:
    return [t for t in tree_flatten(tree)[0] if isinstance(t, torch.Tensor)]


def on_trn(tree):
    """The same inputs on trn; devices named in them become trn too."""
    def move(x):
        if isinstance(x, torch.Tensor):
            return x.detach().to("trn").requires_grad_(x.requires_grad)
        if isinstance(x, torch.device):
            return torch.device("trn:0")
        return "trn" if isinstance(x, str) and x == "cpu" else x

    return tree_map(move, tree)


def widened(tree, dtype: torch.dtype):
    """The same numbers in plain memory, those of `dtype` (and named types) in the wider one."""
    def widen(x):
        if isinstance(x, torch.Tensor) and x.layout == torch.strided:
            dense = x.detach().resolve_conj().resolve_neg()
            x = dense.clone(memory_format=torch.contiguous_format).requires_grad_(x.requires_grad)
        if isinstance(x, torch.Tensor) and x.dtype == dtype:
            return x.detach().to(WIDER.get(dtype, dtype)).requires_grad_(x.requires_grad)
        return WIDER.get(dtype, dtype) if x is dtype else x

    return tree_map(widen, tree)


def samples(op, dtype: torch.dtype, limit: int | None, requires_grad: bool = False) -> list:
    """The first samples of an entry as (input, args, kwargs) on the CPU, always the same ones."""
    return _samples(full_name(op), dtype, limit, requires_grad)


@functools.lru_cache(maxsize=2)  # the checks of one entry and type follow each other
def _samples(name: str, dtype: torch.dtype, limit: int | None, requires_grad: bool) -> list:
    torch.manual_seed(0)
    made = ENTRIES[name].sample_inputs("cpu", dtype, requires_grad=requires_grad)
    trees = ((s.input, s.args, s.kwargs) for s in itertools.islice(made, limit))
    # Others have nothing in them that names trn.
    return [tree for tree in trees if tensors(tree) or "device" in tree[2]]


def rough(op, dtype: torch.dtype) -> float:
    only, tolerance = ROUGH.get(op.name, (None, 0.0))
    return tolerance if only in (None, dtype) else 0.0


def call(function, tree):
    return function(tree[0], *tree[1], **tree[2])


def determined(op, outputs):
    """The outputs, or what is the same for every right choice of them."""
    free = DETERMINED.get(op.name)
    found = tensors(outputs) if free else []
    return free(*found) if found and all(t.numel() for t in found) else outputs


def compared(op, outputs, dtype: torch.dtype) -> list[torch.Tensor]:
    """The outputs that have to agree."""
    found = tensors(determined(op, outputs))
    if op.name in TIES:
        integer = len(found) == 1 and op.name == "argsort"
        return [] if integer else found[:1]
    return float_statistics(op, found, dtype)


def float_statistics(op, outputs: list[torch.Tensor], dtype: torch.dtype) -> list[torch.Tensor]:
    if op.name not in FLOAT_STATISTICS or dtype not in HALVES:
        return outputs
    return outputs[:1] + [t.to(torch.float32) for t in outputs[1:]]


def host(t: torch.Tensor) -> torch.Tensor:
    t = t.detach()
    t = t.to_dense() if t.layout != torch.strided else t
    return t.cpu()


def difference(got: torch.Tensor, expected: torch.Tensor) -> float:
    """Largest |got - expected| / max(1, |expected|); infinite where one of them is not finite."""
    wide = torch.complex128 if expected.is_complex() else torch.float64
    got, expected = got.to(wide), expected.to(wide)
    if torch.equal(got, expected):
        return 0.0
    error = (got - expected).abs() / expected.abs().clamp(min=1)
    same = (got == expected) | (got.isnan() & expected.isnan())
    return error.where(~same, 0).nan_to_num(float("inf")).max().item()


def worst(got, expected, exact=None, rough=0.0) -> float:
    """Checks kinds, types and shapes, and returns the largest difference of all outputs.

    `exact` makes the same outputs of plain inputs in a wider type, if there is one; it is asked for
    when the CPU disagrees by more than the tolerance, and then the smaller difference counts. Where
    the CPU is off as well, trn, which adds in another order, may be off eight times as far. `rough`
    is a tolerance for any type.
    """
    assert len(got) == len(expected), f"{len(got)} outputs, not {len(expected)}"
    largest, wide = 0.0, None
    for i, (g, e) in enumerate(zip(got, expected, strict=True)):
        assert g.device.type == "trn", f"output {i} lies on {g.device}"
        assert g.dtype == e.dtype, f"output {i} is {g.dtype}, not {e.dtype}"
        assert g.shape == e.shape, f"output {i} is {tuple(g.shape)}, not {tuple(e.shape)}"
        g, e = host(g), host(e)
        error, allowed = difference(g, e), max(rough, TOLERANCE.get(e.dtype, 1e-4))
        if error > allowed and exact:
            wide = exact() if wide is None else wide
            if wide and len(wide) == len(expected):
                right = host(wide[i]).to(e.dtype)
                error = min(error, difference(g, right))
                off = difference(e, right) if e.dtype in WIDER else 0
                allowed = max(allowed, 8 * off if math.isfinite(off) else 0)
        largest = max(largest, error)
        assert error <= allowed, (
            f"output {i} of {len(got)}, {e.dtype} {tuple(e.shape)}, differs by {error:.3g}")
    return largest
