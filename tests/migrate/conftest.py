"""Fixtures of programs that say cuda."""

import warnings

import pytest
import torch


@pytest.fixture
def redirected():
    """The test runs with CUDA redirected to trn."""
    from torch_trn.migration import scope

    with scope():
        yield


@pytest.fixture
def without_apex(redirected):
    """Redirected, from one seed, and apex's stand-in announces nothing."""
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "apex is not installed")
        yield
