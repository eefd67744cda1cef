"""The checks of gradients, second gradients and forward-mode derivatives."""

from __future__ import annotations

import torch
import torch.autograd.forward_ad as forward_ad
from torch.utils._pytree import tree_map

from . import opdb
from .refusals import REFUSED, Skipped, naming

# How far a gradient and a second one may lie from the CPU's in half precision: backward passes
# round each number on its way.
ROUNDED = 0.045, 0.06


def leaves(tree):
    return [t for t in opdb.tensors(tree) if t.requires_grad]


def ramp_like(t):
    """Numbers from 0.5 to 1.5, the same ones in every type."""
    ramp = torch.linspace(0.5, 1.5, t.numel(), dtype=torch.float64).bfloat16()
    return ramp.reshape(t.shape).to(t)


def gradients(outputs, inputs, create_graph=False):
    """Gradients of a fixed weighting of all differentiable outputs, or None without any."""
    outputs = [o for o in opdb.tensors(outputs) if o.requires_grad and o.numel()]
    if not outputs or not inputs:
        return None
    weights = [ramp_like(o) for o in outputs]
    found = torch.autograd.grad(outputs, inputs, weights, allow_unused=True,
                                create_graph=create_graph)
    return [torch.zeros_like(i) if g is None else g for g, i in zip(found, inputs, strict=True)]


def untold_order(op, dtype):
    if op.name in opdb.TIES and dtype in opdb.HALVES:
        raise Skipped("among many equal numbers, which one gets the gradient is not told")


def largest_error(op, dtype, limit, derive, rough) -> float:
    """How far derive(inputs) on trn lies from the CPU's at most, over the entry's samples."""
    largest = 0.0
    for tree in opdb.samples(op, dtype, limit, requires_grad=True):
        try:
            expected = derive(tree)
        except REFUSED:
            continue
        if expected is None:
            continue
        with naming(tree):
            got = derive(opdb.on_trn(tree))
            assert got is not None, "no derivative"
            largest = max(largest, opdb.worst(
                got, expected, lambda: derive(opdb.widened(tree, dtype)),  # noqa: B023
                rough))
    return largest


def gradient(op, dtype, limit, second=False) -> float:
    if not (op.supports_gradgrad if second else op.supports_autograd):
        raise Skipped("has no gradient")
    if not dtype.is_floating_point and not dtype.is_complex:
        raise Skipped("no gradient in this type")
    untold_order(op, dtype)
    rough = ROUNDED[second] if dtype in opdb.HALVES else opdb.rough(op, dtype)

    def differentiate(tree):
        inputs = leaves(tree)
        outputs = opdb.determined(op, opdb.call(op, tree))
        first = gradients(outputs, inputs, create_graph=second)
        return gradients(first, inputs) if second and first else first

    return largest_error(op, dtype, limit, differentiate, rough)


def forward_mode(op, dtype, limit) -> float:
    if not op.supports_forward_ad or not (dtype.is_floating_point or dtype.is_complex):
        raise Skipped("has no forward-mode derivative")
    untold_order(op, dtype)

    def tangents(tree):
        with forward_ad.dual_level():
            def dual(t):
                if not isinstance(t, torch.Tensor) or not t.requires_grad:
                    return t
                return forward_ad.make_dual(t.detach(), ramp_like(t))

            outputs = opdb.tensors(opdb.determined(op, opdb.call(op, tree_map(dual, tree))))
            found = [forward_ad.unpack_dual(o).tangent for o in outputs]
            found = [torch.zeros_like(o) if t is None else t.clone()
                     for o, t in zip(outputs, found, strict=True)
                     if o.is_floating_point() or o.is_complex()]
            return opdb.float_statistics(op, found, dtype)

    return largest_error(op, dtype, limit, tangents, opdb.rough(op, dtype))
