"""Loading generated C++ so that calling it queues it."""

from __future__ import annotations

import ctypes
import os
import pathlib

from torch._inductor.async_compile import get_compile_threads
from torch._inductor.codecache import CppPythonBindingsCodeCache, LambdaFuture

# Where csrc/inductor's headers are installed.
HEADERS = pathlib.Path(__file__).resolve().parent.parent / "share" / "inductor"


def offer_headers() -> None:
    """Lets the compiler find trn's headers beside PyTorch's: Inductor has no option for a folder
    of a device's own, so they are named as GCC and Clang read them from the environment. What a
    cache holds is compiled, too, in a process that generates nothing."""
    folders = os.environ.get("CPLUS_INCLUDE_PATH", "").split(os.pathsep)
    if str(HEADERS) not in folders:
        os.environ["CPLUS_INCLUDE_PATH"] = os.pathsep.join(filter(None, [str(HEADERS), *folders]))


def _launch_code() -> str:
    """The headers' text: a cache knows a generated source by its text, not by what it includes."""
    folder = HEADERS / "torch_trn" / "inductor"
    text = (folder / "queue.h").read_text().replace(
        "#include <torch_trn/inductor/host_functions.h>", (folder / "host_functions.h").read_text())
    return text.replace("#pragma once", "").replace("{", "{{").replace("}", "}}")  # str.format


def show_symbols() -> None:
    """Lets libraries that are loaded from now on find the C functions of libtorch_trn.so."""
    ctypes.CDLL("libtorch_trn.so", mode=os.RTLD_NOW | os.RTLD_NOLOAD | os.RTLD_GLOBAL)


class QueuedBindings(CppPythonBindingsCodeCache):
    """Inductor's bindings of a C++ kernel, queueing the call rather than making it."""

    cache: dict = {}
    call_entry_function = "trn_launch(TRN_NAME, &kernel, {}); Py_RETURN_NONE;"
    extra_parse_arg = _launch_code()


def on_queue(name: str, async_compile, argtypes: list[str], source: str):
    """Like ``AsyncCompile.cpp_pybinding``: compiles `source` and binds its function `kernel`, which
    profilers show as `name`.

    The returned callable takes tensors and numbers and returns when the call is queued on the
    current stream.
    """
    source = f'#define TRN_NAME "{name}"\n{source}'
    if get_compile_threads() <= 1:
        return QueuedBindings.load_pybinding(argtypes, source)
    result = QueuedBindings.load_pybinding_async(argtypes, source, submit_fn=async_compile.submit)
    return LambdaFuture(result)
