"""Operator tests: every one proves that the device ran."""

import pytest
from torch_trn import _C


@pytest.fixture(autouse=True)
def fresh_fallback_counts():
    mode = _C._fallback_mode()
    _C._set_fallback_mode("silent")
    _C._reset_fallback_counts()
    yield
    _C._set_fallback_mode(mode)


@pytest.fixture
def native():
    """Fails the test if anything in it ran on the CPU, or if nothing ran on the device."""
    before = _C._launch_count()
    _C._reset_fallback_counts()
    yield
    assert _C._launch_count() > before, "no kernel was launched"
    assert _C._fallback_counts() == {}


@pytest.fixture(params=["portable", "avx2", "avx512"])
def isa(request):
    """The kernels of one instruction set, those that the processor has in turn."""
    before = _C._active_isa()
    _C._set_active_isa(request.param)
    if _C._active_isa() != request.param:
        _C._set_active_isa(before)
        pytest.skip(f"this processor has no {request.param}")
    yield request.param
    _C._set_active_isa(before)


def pytest_terminal_summary(terminalreporter):
    from .exclusions import EXCLUDED, LIMIT

    terminalreporter.write_line(
        f"operator database: {len(EXCLUDED)} exclusions (at most {LIMIT}), tests/ops/exclusions.py")
