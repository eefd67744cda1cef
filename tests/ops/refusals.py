"""What a check does about a call that is refused."""

from __future__ import annotations

import contextlib
import re

import torch
from torch.utils._pytree import tree_map

from . import opdb

REFUSED = (
    RuntimeError, NotImplementedError, TypeError, ValueError, IndexError, AssertionError,
    ZeroDivisionError)


class Skipped(Exception):
    """The check does not apply to this entry and type."""


def describe(tree) -> str:
    def short(x):
        return f"{x.dtype}{list(x.shape)}".replace("torch.", "") if isinstance(
            x, torch.Tensor) else x

    return str(tree_map(short, tree))[:160]


@contextlib.contextmanager
def naming(tree):
    """Adds the sample to whatever goes wrong with it."""
    try:
        yield
    except AssertionError as wrong:
        raise AssertionError(f"{wrong}; sample {describe(tree)}") from None
    except REFUSED as error:
        text = str(error).strip().splitlines() or [""]
        raise AssertionError(
            f"{type(error).__name__}: {text[0][:200]}; sample {describe(tree)}") from error


def refused_as_cuda_does(op, dtype, error) -> bool:
    return not opdb.cuda_has(op, dtype) and re.search(
        "not implemented for|not supported|expected .* dtype|only support", str(error)) is not None


@contextlib.contextmanager
def as_cuda(op, dtype):
    """Skips the check where trn refuses a type that CUDA refuses too."""
    try:
        yield
    except REFUSED as error:
        if refused_as_cuda_does(op, dtype, error):
            raise Skipped("refused, as CUDA does") from None
        raise


def lacks_type(error) -> bool:
    return re.search("not implemented|not supported|[Uu]nsupported", str(error)) is not None
