"""Results with more than one right answer: the index among equals, the sign of a vector."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

# (values, indices): any index of an equal element is right; the first two have all indices differ.
_INDEXED = {"topk": True, "sort": True, "kthvalue": False, "mode": False, "median": False,
            "nanmedian": False}
_SLACK = 8.0


def _bound(operator: Any, args: Any, kwargs: Any) -> dict[str, Any]:
    arguments = operator._schema.arguments
    given = {a.name: a.default_value for a in arguments if a.has_default_value()}
    return {**given, **{a.name: value for a, value in zip(arguments, args)}, **kwargs}


def _are_indices(given: dict[str, Any], values: torch.Tensor, indices: torch.Tensor,
                 differ: bool) -> bool:
    x, dim = given["self"], given.get("dim", -1)
    if x.dim() == 0:
        return bool((indices == 0).all())
    if indices.dim() < x.dim():
        values, indices = values.unsqueeze(dim), indices.unsqueeze(dim)
    if indices.numel() and not 0 <= int(indices.min()) <= int(indices.max()) < x.size(dim):
        return False
    there = x.gather(dim, indices)
    if not torch.equal(there.isnan(), values.isnan()):
        return False
    ordered = indices.sort(dim).values
    return (torch.equal(there[~there.isnan()], values[~values.isnan()])
            and not (differ and bool((ordered.diff(dim=dim) == 0).any())))


def _from_identity(q: torch.Tensor) -> float:
    return float((q.mH @ q - torch.eye(q.size(-1), dtype=q.dtype)).abs().max())


def _off_svd(a: torch.Tensor, results: list[torch.Tensor]) -> float:
    u, s, vh = results
    k = s.size(-1)
    off = (u[..., :k] * s.unsqueeze(-2)) @ vh[..., :k, :] - a
    return max(float(off.abs().max()), _from_identity(u), _from_identity(vh.mH))


def _off_eigh(a: torch.Tensor, results: list[torch.Tensor]) -> float:
    values, q = results
    return max(float((a @ q - q * values.unsqueeze(-2)).abs().max()), _from_identity(q))


def _off_eig(a: torch.Tensor, results: list[torch.Tensor]) -> float:
    values, v = results
    off = a.to(v.dtype) @ v - v * values.unsqueeze(-2)
    return max(float(off.abs().max()), float((v.norm(dim=-2) - 1).abs().max()))


# How far from a decomposition of their matrix the results are, and which of them are vectors.
_DECOMPOSED: dict[str, tuple[Callable, tuple[int, ...]]] = {
    "_linalg_svd": (_off_svd, (0, 2)), "_linalg_eigh": (_off_eigh, (1,)),
    "linalg_eig": (_off_eig, (0, 1)),
}


def _decomposes(off: Callable, given: dict[str, Any], results: list[torch.Tensor],
                plain: list[torch.Tensor]) -> bool:
    a = given.get("A", given.get("self"))
    if "UPLO" in given:  # only one triangle is read
        half = a.tril(-1) if given["UPLO"].upper() == "L" else a.triu(1).mH
        a = half + half.mH + torch.diag_embed(a.diagonal(dim1=-2, dim2=-1).real).to(a.dtype)
    exact = a.to(torch.promote_types(a.dtype, torch.float64))

    def so_far(parts: list[torch.Tensor]) -> float:
        return off(exact, [t.to(torch.promote_types(t.dtype, torch.float64)) for t in parts])

    rounding = torch.finfo(a.dtype).eps * max(a.shape[-2:]) * max(float(a.abs().max()), 1.0)
    return so_far(results) <= _SLACK * (so_far(plain) + rounding)


def is_right_too(operator: Any, args: Any, kwargs: Any, results: list[torch.Tensor],
                 plain: list[torch.Tensor], index: int) -> bool:
    """Whether a result that is not the CPU's is as right as it, the others being judged alone."""
    name = operator._schema.name.split("::")[1]
    given = _bound(operator, args, kwargs)
    ours = [t.cpu() for t in results]
    if ours[index].shape != plain[index].shape or ours[index].dtype != plain[index].dtype:
        return False
    if name in _INDEXED and len(ours) == 2 and not given.get("stable"):
        return index == 1 and _are_indices(given, *ours, _INDEXED[name])
    if name in _DECOMPOSED and all(t.numel() for t in ours):
        off, vectors = _DECOMPOSED[name]
        return index in vectors and _decomposes(off, given, ours, plain)
    return False
