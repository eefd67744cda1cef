"""The sources of a tree: which files they are, and the cells of notebooks as Python."""

from __future__ import annotations

import ast
import json
import os
import re
import stat
import warnings
from collections.abc import Callable, Iterator

NATIVE = {".cu": "CUDA C++", ".cuh": "CUDA C++", ".ptx": "PTX assembly"}
#: Sources that may include CUDA's headers.
HOSTED = {".c", ".cc", ".cpp", ".cxx", ".h", ".hh", ".hpp", ".pyx", ".pxd"}
_PYTHON = {".py", ".pyw", ".ipynb"}
_UNSAID = {".git", ".hg", "__pycache__"}  # nobody expects these to be read
_SKIPPED = {".venv", "venv", "node_modules", "build", ".tox", "site-packages", "dist-packages"}
# Cells in another language begin with %%, except for these, whose rest is Python.
_PYTHON_CELLS = {"time", "timeit", "capture", "prun"}
_INCLUDE = re.compile(
    r"""\s*(?:\#\s*include\s*[<"]|cdef\s+extern\s+from\s*["'])
    ((?:cuda|cu(?:blas|dnn|fft|rand|solver|sparse|tlass)|nccl|nvrtc|nvml|cub/|thrust/
    |(?:c10|ATen|torch/csrc)/(?:native/)?cuda/)[^>"']*)""", re.VERBOSE)
_CONDITION = re.compile(r"\s*#\s*(if|endif)(.*)")
_ABOUT_CUDA = re.compile(r"(def\b|\s).*(CUDA|GPU|NCCL)")  # not the #ifndef of a header itself
_MAGIC = re.compile(r"^(\s*)([!%?].*|[\w.]+\?\??)$")
_ASSIGNED = re.compile(r"^(\s*[\w., ]+=\s*)[!%].*$")


def ending(file: str) -> str:
    """The file's ending in small letters, with its dot."""
    return os.path.splitext(file)[1].lower()


def _is_source(file: str) -> bool:
    end = ending(file)
    if end or not os.path.isfile(file):
        return end in _PYTHON or end in NATIVE or end in HOSTED
    try:
        with open(file, "rb") as script:
            return bool(re.match(rb"#!.*python", script.readline(200)))
    except OSError:
        return False


def source_files(path: str, left_out: Callable[[str], None],
                 failed: Callable[[OSError], None]) -> Iterator[str]:
    """A file that is named, or the sources under a folder; tells which folders it leaves out."""
    if not os.path.isdir(path):
        yield path
        return
    for folder, folders, files in os.walk(path, onerror=failed):
        for name in sorted(folders):
            inner = os.path.join(folder, name)
            environment = os.path.exists(os.path.join(inner, "pyvenv.cfg"))
            if name in _SKIPPED or environment:
                left_out(inner)
            if name in _SKIPPED or environment or name in _UNSAID:
                folders.remove(name)
        folders.sort()
        yield from filter(_is_source, (os.path.join(folder, f) for f in sorted(files)))


def read(file: str) -> bytes:
    """A regular file's bytes. Raises OSError; opening a pipe would wait for its other end."""
    if not stat.S_ISREG(os.stat(file).st_mode):
        raise OSError("not a regular file")
    with open(file, "rb") as source:
        return source.read()


def parse(source: str | bytes, file: str) -> ast.Module:
    """Python's tree, without its warnings about the source.

    Raises SyntaxError, ValueError, RecursionError or MemoryError.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(source, file)


def cuda_includes(data: bytes) -> Iterator[tuple[int, int, str, bool]]:
    """CUDA's headers that C++ or Cython asks for: line, column, name, and whether always."""
    conditions: list[bool] = []
    for number, line in enumerate(data.decode(errors="replace").splitlines(), 1):
        condition, header = _CONDITION.match(line), _INCLUDE.match(line)
        if condition and condition[1] == "if":
            conditions.append(bool(_ABOUT_CUDA.match(condition[2])))
        elif condition and conditions:
            conditions.pop()
        elif header:
            yield number, header.start(1) + 1, header[1], not any(conditions)


def cells(data: bytes) -> Iterator[tuple[int, str]]:
    """A notebook's code cells with their numbers among all cells. Raises ValueError."""
    try:
        book = json.loads(data)
        sheets = book["worksheets"] if "worksheets" in book else [book]  # nbformat 3 has sheets
        every = [cell for sheet in sheets for cell in sheet["cells"]]
        code = [(i, cell["source"] if "source" in cell else cell["input"])
                for i, cell in enumerate(every, 1) if cell["cell_type"] == "code"]
        texts = [(i, "".join(lines)) for i, lines in code]
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError("not a notebook") from error
    yield from texts


def parse_cell(text: str, file: str) -> ast.Module:
    """The tree of a cell, IPython's own lines left out. Raises as parse does."""
    magic = re.match(r"\s*%%(\w+).*\n?", text)
    if magic and magic[1] not in _PYTHON_CELLS:
        return ast.Module([], [])
    if magic:
        text = "\n" * magic[0].count("\n") + text[magic.end():]
    try:
        return parse(text, file)
    except SyntaxError:
        return parse("\n".join(_plain(text)), file)


def _plain(text: str) -> Iterator[str]:
    """Lines of Python, with nothing done where IPython would do something of its own."""
    continued = False
    for line in text.splitlines():
        own = _MAGIC.match(line)
        assigned = _ASSIGNED.match(line)
        if continued:
            yield ""
        elif own:
            yield own[1] + "pass"
        elif assigned:
            yield assigned[1] + "None"
        else:
            yield line
        continued = bool(continued or own or assigned) and line.endswith("\\")
