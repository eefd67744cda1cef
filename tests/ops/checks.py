"""What is checked of an entry of the operator database: one function a check.

A check takes (entry, type, number of samples or None for all) and returns the largest difference
found; it raises AssertionError with what is wrong, and Skipped when nothing applies.
"""

from __future__ import annotations

import contextlib
import re

import torch
from torch.testing._internal.common_utils import noncontiguous_like
from torch.utils._pytree import tree_map

from . import opdb
from .derivatives import forward_mode, gradient
from .refusals import (
    REFUSED,
    Skipped,
    as_cuda,
    lacks_type,
    naming,
    refused_as_cuda_does,
)


def narrowed(tree, dtype):
    def narrow(t):
        wide = isinstance(t, torch.Tensor) and t.dtype == opdb.WIDER.get(dtype)
        return t.to(dtype) if wide else t

    return tree_map(narrow, tree)


def pairs(op, dtype, limit, requires_grad=False, form=None, must_run=True):
    """(CPU inputs, trn inputs, CPU outputs) of each sample that the CPU accepts in this form."""
    found = False
    for tree in opdb.samples(op, dtype, limit, requires_grad):
        here = form(tree) if form else tree
        if here is None:
            continue
        there = form(opdb.on_trn(tree)) if form else opdb.on_trn(tree)
        try:
            expected = opdb.call(op, here)
        except REFUSED as error:
            if not lacks_type(error) or not opdb.cuda_has(op, dtype) or dtype not in opdb.WIDER:
                continue
            try:  # a type that CUDA has and the CPU lacks
                wide = opdb.call(op, opdb.widened(here, dtype))
            except REFUSED:
                continue
            expected = narrowed(wide, dtype)
        found = True
        yield here, there, expected
    if must_run and not found:
        raise Skipped("the CPU takes no sample")


def forward(op, dtype, limit, form=None) -> float:
    largest = 0.0
    for here, there, expected in pairs(op, dtype, limit, form=form):
        with naming(here):
            with as_cuda(op, dtype):
                got = opdb.call(op, there)
            largest = max(largest, agree(op, dtype, here, got, expected))
    return largest


def agree(op, dtype, here, got, expected) -> float:
    """The largest difference of what the entry gives of `here`; see opdb.worst."""
    def exact():
        return opdb.compared(op, opdb.call(op, opdb.widened(here, dtype)), dtype)

    return opdb.worst(opdb.compared(op, got, dtype), opdb.compared(op, expected, dtype), exact,
                      opdb.rough(op, dtype))


def form_check(change):
    """A check of the forward result with every tensor changed; None leaves a tensor as it is."""
    def form(tree):
        touched = False

        def one(x):
            nonlocal touched
            dense = isinstance(x, torch.Tensor) and x.layout == torch.strided
            changed = change(x) if dense else None
            touched |= changed is not None
            return x if changed is None else changed

        tree = tree_map(one, tree)
        return tree if touched else None

    return lambda op, dtype, limit: forward(op, dtype, limit, form)


def _transposed(t):
    return t.mT.contiguous().mT if t.dim() > 1 else None


def _channels_last(t):
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    return t.contiguous(memory_format=formats[t.dim()]) if t.dim() in formats else None


def _expanded(t):
    return t.narrow(0, 0, 1).expand_as(t) if t.dim() and t.size(0) > 1 else None


def _conjugate(t):
    return t.conj().resolve_conj().conj() if t.is_complex() else None


def _negative(t):
    return torch._neg_view(-t) if t.is_complex() or t.is_floating_point() else None


def out_form(op, dtype, limit) -> float:
    if not op.supports_out:
        raise Skipped("no out=")
    largest = 0.0
    for here, there, expected in pairs(op, dtype, limit):
        if not isinstance(expected, torch.Tensor | tuple | list) or "out" in here[2]:
            continue
        makers = (torch.empty_like, lambda t: t.new_empty(0), noncontiguous_like)
        for make in makers:
            with naming(here):
                outs = tree_map(lambda t: make(t.to("trn")), expected)  # noqa: B023
                with as_cuda(op, dtype):
                    opdb.call(lambda *a, **k: op(*a, **k, out=outs), there)  # noqa: B023
                largest = max(largest, agree(op, dtype, here, outs, expected))
    return largest


def inplace(op, dtype, limit) -> float:
    variant = op.inplace_variant
    if variant is None:
        raise Skipped("no in-place form")
    largest, found = 0.0, False
    for tree in opdb.samples(op, dtype, limit):
        if not isinstance(tree[0], torch.Tensor):
            continue
        here, there = (tree[0].clone(), *tree[1:]), opdb.on_trn(tree)
        try:
            expected = opdb.call(variant, here)
        except REFUSED:
            continue
        found = True
        with naming(tree):
            got = opdb.call(variant, there)
            assert got is there[0] or got.data_ptr() == there[0].data_ptr(), "another tensor"
            largest = max(largest, agree(op, dtype, tree, there[0], expected))
    if not found:
        raise Skipped("the CPU takes no sample in place")
    return largest


def same_outcome(change):
    """A check that trn computes or refuses exactly where the CPU does, on changed inputs."""
    def check(op, dtype, limit) -> float:
        largest = 0.0
        for tree in opdb.samples(op, dtype, limit):
            here = tree_map(lambda x: change(x) if isinstance(x, torch.Tensor)
                            and x.layout == torch.strided else x, tree)
            there = opdb.on_trn(here)
            try:
                expected, refusal = opdb.call(op, here), None
            except REFUSED as error:
                if lacks_type(error) and opdb.cuda_has(op, dtype):
                    continue  # the CPU looked no further than the type
                expected, refusal = None, error
            with naming(here):
                try:
                    got = opdb.call(op, there)
                except REFUSED as error:
                    if refusal is None and not refused_as_cuda_does(op, dtype, error):
                        raise
                    continue
                if refusal is None:
                    largest = max(largest, agree(op, dtype, here, got, expected))
                    continue
                with contextlib.suppress(RuntimeError):
                    torch.trn.synchronize()  # what only the data can tell is refused here
        return largest

    return check


def _no_elements(t):
    return t.narrow(0, 0, 0) if t.dim() else t


def _zero_dim(t):
    return t.reshape(-1)[0] if t.numel() else t


def vmapped(op, dtype, limit) -> float:
    largest = 0.0
    for tree in opdb.samples(op, dtype, limit):
        if not isinstance(tree[0], torch.Tensor):
            continue

        def batched(tree):
            stacked = torch.stack([tree[0], tree[0].flip(0) if tree[0].dim() else tree[0]])
            return torch.vmap(lambda t: op(t, *tree[1], **tree[2]))(stacked)  # noqa: B023

        try:
            expected = batched(tree)
        except Exception:
            continue
        with naming(tree):
            with as_cuda(op, dtype):
                got = batched(opdb.on_trn(tree))
            largest = max(largest, opdb.worst(
                opdb.compared(op, got, dtype),
                opdb.compared(op, expected, dtype),
                lambda: opdb.compared(op, batched(opdb.widened(tree, dtype)), dtype),  # noqa: B023
                opdb.rough(op, dtype)))
    return largest


def accepts(op, sample) -> bool:
    try:
        op(sample.input, *sample.args, **sample.kwargs)
    except REFUSED:
        return False
    return True


def errors(op, dtype, limit) -> float:
    """Every wrong use that PyTorch lists is refused with the type and text that it names."""
    if op.error_inputs_func is None or dtype != opdb.types_of(op)[0]:
        raise Skipped("lists no errors")
    on_cpu = list(op.error_inputs("cpu"))
    for i, wrong in enumerate(op.error_inputs("trn:0")):
        s = wrong.sample_input
        with naming((s.input, s.args, s.kwargs)):
            try:
                op(s.input, *s.args, **s.kwargs)
            except wrong.error_type as error:
                assert re.search(wrong.error_regex, str(error)), (
                    f"says {str(error).splitlines()[0][:200]!r}, not {wrong.error_regex!r}")
            else:
                assert accepts(op, on_cpu[i].sample_input), (
                    f"accepted; expected {wrong.error_regex!r}")
    return 0.0


CHECKS = {
    "forward": forward,
    "out": out_form,
    "inplace": inplace,
    "noncontiguous": form_check(noncontiguous_like),
    "transposed": form_check(_transposed),
    "channels_last": form_check(_channels_last),
    "expanded": form_check(_expanded),
    "conj": form_check(_conjugate),
    "neg": form_check(_negative),
    "empty": same_outcome(_no_elements),
    "0-d": same_outcome(_zero_dim),
    "gradient": gradient,
    "second gradient": lambda op, dtype, limit: gradient(op, dtype, limit, second=True),
    "forward mode": forward_mode,
    "vmap": vmapped,
    "errors": errors,
}
