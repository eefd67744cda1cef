"""PyTorch's operator database on trn against the CPU: a fixed sample of every entry."""

import pytest
import torch
from torch.testing._internal.common_methods_invocations import op_db
from torch.utils._pytree import tree_flatten, tree_map
from torch_trn import _C

from .exclusions import FORWARD, GRADIENT

SAMPLES = 4
TOLERANCE = {
    torch.float32: {"rtol": 1e-4, "atol": 1e-4},
    torch.int64: {"rtol": 1e-4, "atol": 1e-4},
    torch.bool: {"rtol": 1e-4, "atol": 1e-4},
}
# Entries whose results may differ in order among equals, so that only values are compared.
TIES = {"topk", "kthvalue", "sort", "argsort", "msort", "mode", "median", "nanmedian"}


def full_name(op):
    return op.name + ("." + op.variant_test_name if op.variant_test_name else "")


def entries(dtype, excluded):
    for op in op_db:
        name = full_name(op)
        if dtype in op.dtypes and name not in excluded and not name.startswith("jiterator"):
            yield pytest.param(op, id=name)


def on_trn(tree):
    def move(x):
        if isinstance(x, torch.Tensor):
            return x.detach().to("trn").requires_grad_(x.requires_grad)
        if isinstance(x, torch.device):
            return torch.device("trn:0")
        return "trn" if isinstance(x, str) and x == "cpu" else x

    return tree_map(move, tree)


def samples_of(op, dtype, requires_grad):
    for i, sample in enumerate(op.sample_inputs("cpu", dtype, requires_grad=requires_grad)):
        if i == SAMPLES:
            return
        yield sample


def tensors(tree):
    return [t for t in tree_flatten(tree)[0] if isinstance(t, torch.Tensor)]


def assert_same(got, expected, op, dtype):
    got, expected = tensors(got), tensors(expected)
    assert len(got) == len(expected)
    for g, e in zip(got, expected, strict=True):
        if op.name in TIES and e.dtype == torch.int64 and dtype != torch.int64:
            continue
        assert g.device.type == "trn"
        torch.testing.assert_close(g.cpu(), e, equal_nan=True, **TOLERANCE[dtype])


@pytest.mark.parametrize("op", entries(torch.float32, FORWARD))
def test_forward_float32(op):
    check_forward(op, torch.float32)


@pytest.mark.parametrize("op", entries(torch.int64, FORWARD))
def test_forward_int64(op):
    check_forward(op, torch.int64)


@pytest.mark.parametrize("op", entries(torch.bool, FORWARD))
def test_forward_bool(op):
    check_forward(op, torch.bool)


def check_forward(op, dtype):
    for sample in samples_of(op, dtype, requires_grad=False):
        try:
            expected = op(sample.input, *sample.args, **sample.kwargs)
        except (RuntimeError, NotImplementedError, TypeError, ValueError):
            continue  # the CPU refuses this sample itself
        args = on_trn((sample.input, sample.args, sample.kwargs))
        try:
            got = op(args[0], *args[1], **args[2])
        except NotImplementedError as refusal:
            # A type without a kernel is refused in CUDA's words; nothing else may be.
            assert "_trn\" not implemented for '" in str(refusal), refusal
            continue
        if op.name in TIES and dtype != torch.float32:
            got, expected = tensors(got)[:1], tensors(expected)[:1]
            if op.name == "argsort":
                continue
        assert_same(got, expected, op, dtype)


@pytest.mark.parametrize(
    "op",
    [p for p in entries(torch.float32, {**FORWARD, **GRADIENT}) if p.values[0].supports_autograd],
)
def test_gradient_float32(op):
    for sample in samples_of(op, torch.float32, requires_grad=True):
        here = (sample.input, sample.args, sample.kwargs)
        there = on_trn(here)
        expected = gradients(op, here)
        if expected is not None:
            assert_same(gradients(op, there), expected, op, torch.float32)


def gradients(op, tree):
    """Gradients of the sum of all differentiable outputs, or None if the sample has none."""
    inputs = [t for t in tensors(tree) if t.requires_grad]
    outputs = [
        t for t in tensors(op(tree[0], *tree[1], **tree[2])) if t.requires_grad and t.numel()
    ]
    if not inputs or not outputs:
        return None
    loss = sum(o.abs().sum() if o.is_complex() else o.sum() for o in outputs)
    found = torch.autograd.grad(loss, inputs, allow_unused=True)
    return [torch.zeros_like(i) if g is None else g for g, i in zip(found, inputs, strict=True)]


def test_exclusions_name_entries_and_reasons():
    names = {full_name(op) for op in op_db}
    for table in (FORWARD, GRADIENT):
        for name, reason in table.items():
            assert name in names, f"{name} is no entry of op_db any more"
            assert len(reason) > 10
    print(f"exclusions: {len(FORWARD)} forward, {len(GRADIENT)} gradient")
    assert _C._launch_count() > 0
