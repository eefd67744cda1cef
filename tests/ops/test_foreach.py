"""The _foreach_ operators of PyTorch's database on trn against the CPU."""

import itertools

import pytest
import torch
from torch.testing._internal import common_methods_invocations as database

from . import opdb

INFOS = [op for name in ("unary", "binary", "pointwise", "reduce", "other")
         for op in getattr(database, f"foreach_{name}_op_db")]
SAMPLES = 4


def samples(op, dtype):
    torch.manual_seed(0)
    made = op.sample_inputs("cpu", dtype, noncontiguous=False)
    # The first samples are alike but for their sizes: take some from further on as well.
    for s in itertools.islice(made, 0, 12 * SAMPLES, 12):
        yield s.input, s.args, s.kwargs


def same(got, expected, dtype):
    assert len(got) == len(expected)
    tolerance = {torch.bfloat16: 3e-2, torch.float16: 5e-3}.get(dtype, 1e-4)
    for g, e in zip(got, expected, strict=True):
        assert g.device.type == "trn" and g.dtype == e.dtype
        torch.testing.assert_close(g.cpu(), e, rtol=tolerance, atol=tolerance, equal_nan=True)


@pytest.mark.parametrize("op", INFOS, ids=lambda op: op.name)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64, torch.complex64],
                         ids=str)
def test_against_the_cpu(op, dtype):
    if dtype not in op.dtypes:
        pytest.skip("not a type of this operator")
    for tree in samples(op, dtype):
        for function in filter(None, (op.op, op.inplace_variant)):
            here = ([t.clone() for t in tree[0]], *tree[1:])
            there = opdb.on_trn(tree)
            try:
                expected = opdb.call(function, here)
            except (RuntimeError, TypeError):
                continue
            got = opdb.call(function, there)
            if function is op.inplace_variant:
                got, expected = there[0], here[0]
            same(opdb.tensors(got), opdb.tensors(expected), dtype)
