"""torch.compile in a redirected program: Inductor sees trn's tensors as trn's, not as CUDA's."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch

from .. import _C
from .cuda_api import refusal
from .patch import LatePatch

#: Functions whose answer does not change while a program runs, or not while it is traced: what a
#: compiler finds them say stands in its graph.
CONSTANT = {f"torch.cuda.{name}" for name in (
    "is_available", "device_count", "is_current_stream_capturing", "is_bf16_supported",
    "get_device_capability", "get_device_name")}


@contextlib.contextmanager
def own_identity() -> Iterator[None]:
    """Devices say "trn" to this thread inside: Inductor chooses a code generator by that name."""
    _C._suspend_identity(1)
    try:
        yield
    finally:
        _C._suspend_identity(-1)


def foldings(originals: Iterable[Callable]) -> Iterator[LatePatch]:
    """Dynamo's lists of functions that it calls instead of tracing them, with what stands in CUDA's
    place there, and with the ``originals`` that replacements call. When they are asked for, the
    replacements have to be in place."""
    guarded = (torch.cuda.current_device, torch.cuda.is_initialized)
    constant = [getattr(torch.cuda, name.rpartition(".")[2]) for name in CONSTANT]
    for name, more in (("constant_fold_functions",
                        (*originals, *guarded, *constant, torch.cuda.get_device_properties)),
                       ("constant_fold_functions_need_guards", guarded)):
        yield LatePatch("torch._dynamo.variables.torch", name,
                        lambda known, more=more: {**known, **dict.fromkeys(more)})


def for_trn(original: Callable) -> Callable:
    """Inductor's entry. Backward graphs are compiled later, in autograd's thread: so both."""
    redirection = _C._redirection_id("torch.compile")

    @functools.wraps(original)
    def compile_graph(self, model_, inputs_, *, config_patches=None):
        from torch._inductor.compile_fx import compile_fx, compile_fx_inner

        @functools.wraps(compile_fx_inner)
        def compile_inner(*args, **kwargs):
            with own_identity():
                return compile_fx_inner(*args, **kwargs)

        _C._note_redirection(redirection)
        patches = {**self.config, **(config_patches or {})}
        with own_identity():
            return compile_fx(model_, inputs_, inner_compile=compile_inner,
                              config_patches=patches, compile_region_name=self.name)

    return compile_graph


def ahead_of_time(original: Callable) -> Callable:
    """torch._inductor.aot_compile, which packages of AOTInductor are made by."""
    redirection = _C._redirection_id("torch._inductor.aot_compile")

    @functools.wraps(original)
    def aot_compile(*args, **kwargs):
        _C._note_redirection(redirection)
        with own_identity():
            return original(*args, **kwargs)

    return aot_compile


def no_cuda_graphs(check_for_skip: Callable) -> Callable:
    """Why the backend "cudagraphs" runs a graph without recording it: its recorder is CUDA's."""

    @functools.wraps(check_for_skip)
    def why(*_: Any) -> str:
        return 'trn, whose graphs mode="reduce-overhead" records'

    return why


def _no_triton_backend() -> Any:
    raise RuntimeError(refusal("package.triton"))


# torch.utils._triton's: CUDA builds bring Triton, whose driver would look for a GPU's library.
TRITON: dict[str, Callable] = {"has_triton": lambda: False, "triton_backend": _no_triton_backend}
