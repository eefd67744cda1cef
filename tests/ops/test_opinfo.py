"""PyTorch's operator database on trn against the CPU: a fixed sample of every entry.

The same checks over all samples: python -m tests.ops.sweep
"""

import pytest
import torch
from torch.testing._internal.common_device_type import instantiate_device_type_tests, ops
from torch.testing._internal.common_utils import TestCase
from torch_trn import _C

from . import exclusions, opdb
from .checks import CHECKS
from .refusals import Skipped

ENTRIES = list(opdb.ENTRIES.values())
for _op in ENTRIES:
    _op.dtypesIf["trn"] = set(opdb.types_of(_op))


class TestOperators(TestCase):
    def run_check(self, check, op, dtype, limit):
        word = str(dtype).removeprefix("torch.")
        if why := exclusions.reason(opdb.full_name(op), word, check):
            self.skipTest(f"excluded: {why}")
        try:
            CHECKS[check](op, dtype, limit)
        except Skipped as why:
            self.skipTest(str(why))

    @ops(ENTRIES, allowed_dtypes=opdb.DTYPES)
    def test_forward(self, device, dtype, op):
        self.run_check("forward", op, dtype, 2)

    @ops([op for op in ENTRIES if op.supports_autograd], allowed_dtypes=(torch.float32,))
    def test_gradient(self, device, dtype, op):
        self.run_check("gradient", op, dtype, 2)

    @ops([op for op in ENTRIES if op.error_inputs_func], allowed_dtypes=opdb.DTYPES)
    def test_errors(self, device, dtype, op):
        if dtype != opdb.types_of(op)[0]:
            return  # the wrong uses are the same for every type
        self.run_check("errors", op, dtype, None)


instantiate_device_type_tests(TestOperators, globals(), only_for=("trn",))


def test_exclusions_name_entries_and_reasons(record_property):
    for entry, dtype, check, why in exclusions.EXCLUDED:
        assert dtype == "*" or all(hasattr(torch, d) for d in dtype.split(","))
        assert check == "*" or check in CHECKS
        assert len(why) > 10
        assert any(exclusions.matches(entry, name) for name in opdb.ENTRIES), (
            f"{entry} is no entry of op_db any more")
    count = len(exclusions.EXCLUDED)
    record_property("exclusions", count)
    assert count <= exclusions.LIMIT, "exclusions may not grow silently: raise LIMIT in review"
    assert _C._launch_count() > 0


def test_a_wrong_result_is_seen():
    right = torch.ones(3)
    with pytest.raises(AssertionError, match="differs by 1"):
        opdb.worst([torch.zeros(3).to("trn")], [right])
    with pytest.raises(AssertionError, match="lies on cpu"):
        opdb.worst([right], [right])
    with pytest.raises(AssertionError, match="float64, not torch.float32"):
        opdb.worst([right.double().to("trn")], [right])
