"""torch-trn scan: the CUDA uses of a source tree, found in its syntax trees, with advice.

Nothing is imported or run, and torch is not needed.
"""

from __future__ import annotations

import ast
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from .. import __version__
from ..migration import cuda_api

_NATIVE = {".cu": "CUDA C++", ".cuh": "CUDA C++", ".ptx": "PTX assembly"}
_PACKAGES = tuple(name.split(".", 1)[1] for name in cuda_api.rows() if name.startswith("package."))
_SKIPPED = {".git", ".hg", ".venv", "venv", "__pycache__", "node_modules", "build", ".tox"}
_DEVICE = re.compile(r"^cuda(:\d+)?$")
# Methods that mean CUDA whatever they are called on.
_METHODS = {"cuda": "torch.Tensor.cuda", "is_cuda": "torch.Tensor.is_cuda"}


@dataclass(frozen=True)
class Finding:
    """One use: where, what, what happens to it, and for a refused one what to change."""

    file: str
    line: int
    column: int
    name: str
    mark: str
    what: str
    advice: str = ""


def _finding(file: str, node: ast.AST, name: str, row: cuda_api.Row | None) -> Finding:
    if row is None:
        row = cuda_api.Row(name, "adapted", "not in the table; it is left to torch")
    return Finding(file, node.lineno, node.col_offset + 1, name, row.mark, row.text, row.advice)


class _Visitor(ast.NodeVisitor):
    """Follows the names a file gives to torch's modules, and notes what it does with them."""

    def __init__(self, file: str):
        self.file = file
        self.names: dict[str, str] = {}  # in this file -> qualified
        self.found: list[Finding] = []

    def note(self, node: ast.AST, name: str, row: cuda_api.Row | None) -> None:
        self.found.append(_finding(self.file, node, name, row))

    def qualified(self, node: ast.expr) -> str | None:
        if isinstance(node, ast.Name):
            return self.names.get(node.id)
        if isinstance(node, ast.Attribute):
            base = self.qualified(node.value)
            return f"{base}.{node.attr}" if base else None
        return None

    def _package(self, node: ast.AST, module: str) -> None:
        for package in _PACKAGES:
            if module == package or module.startswith(package + "."):
                self.note(node, f"import {module}", cuda_api.rows()[f"package.{package}"])

    def visit_Import(self, node: ast.Import) -> None:  # noqa: N802
        for alias in node.names:
            self._package(node, alias.name)
            name = alias.name if alias.asname else alias.name.split(".")[0]
            self.names[alias.asname or name] = name

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:  # noqa: N802
        if node.level or not node.module:
            return
        self._package(node, node.module)
        for alias in node.names:
            name = f"{node.module}.{alias.name}"
            self.names[alias.asname or alias.name] = name
            if name.startswith("torch.") and cuda_api.find(name) is not None \
                    and name not in ("torch.cuda", "torch.nn.DataParallel"):
                self._known(node, name)

    def _known(self, node: ast.AST, name: str) -> bool:
        row = cuda_api.find(name)
        if row is None and name.startswith("torch.cuda."):
            if name.rpartition(".")[2].startswith("__"):
                return False
            if any(known.startswith(name + ".") for known in cuda_api.rows()):
                return False  # a submodule on the way to a name
        elif row is None:
            return False
        elif name in ("torch.device", "torch.load", "torch.jit.script"):
            return False  # only with CUDA in the arguments, and then that is noted
        self.note(node, name, row)
        return True

    def visit_Attribute(self, node: ast.Attribute) -> None:  # noqa: N802
        name = self.qualified(node)
        if name and self._known(node, name):
            return
        if name is None and node.attr in _METHODS and not isinstance(node.ctx, ast.Store):
            self.note(node, f".{node.attr}", cuda_api.rows()[_METHODS[node.attr]])
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:  # noqa: N802
        if isinstance(node.value, str):
            self._text(node, node.value)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:  # noqa: N802
        first = node.values[0] if node.values else None
        if isinstance(first, ast.Constant) and first.value == "cuda:":
            self.note(node, 'f"cuda:{...}"', cuda_api.rows()["torch.device"])
        for value in node.values:
            if isinstance(value, ast.FormattedValue):
                self.visit(value.value)

    def _text(self, node: ast.AST, text: str) -> None:
        if _DEVICE.match(text):
            self.note(node, f'"{text}"', cuda_api.rows()["torch.device"])
        elif text == "nccl" or text.startswith("cuda:nccl"):
            self.note(node, f'"{text}"', cuda_api.rows()["torch.distributed.init_process_group"])
        elif text in cuda_api.rows() and text.isupper():
            self.note(node, text, cuda_api.rows()[text])

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:  # noqa: N802
        for decorator in node.decorator_list:
            target = decorator.func if isinstance(decorator, ast.Call) else decorator
            name = self.qualified(target) or ""
            if name.startswith("triton."):
                self.note(node, f"Triton kernel {node.name}", cuda_api.rows()["package.triton"])
        self.generic_visit(node)


def _native(file: str) -> Finding | None:
    kind = _NATIVE.get(os.path.splitext(file)[1])
    if kind is None:
        return None
    row = cuda_api.rows()["torch.utils.cpp_extension.CUDAExtension"]
    return Finding(file, 1, 1, kind, "refused", row.what, row.advice)


def scan_source(text: str, file: str) -> list[Finding]:
    """The CUDA uses of one Python source. Raises SyntaxError for what is not Python."""
    visitor = _Visitor(file)
    visitor.visit(ast.parse(text, file))
    return sorted(set(visitor.found), key=lambda f: (f.line, f.column, f.name))


def _notebook(text: str) -> str:
    cells = (c for c in json.loads(text)["cells"] if c["cell_type"] == "code")
    lines = "".join("".join(c["source"]) + "\n" for c in cells).splitlines()
    return "\n".join("pass" if line.lstrip().startswith(("!", "%")) else line for line in lines)


def _files(path: str) -> Iterator[str]:
    if os.path.isfile(path):
        yield path
    for folder, folders, files in os.walk(path):
        folders[:] = sorted(f for f in folders if f not in _SKIPPED)
        yield from (os.path.join(folder, f) for f in sorted(files))


@dataclass
class Scan:
    """A tree's findings, how many sources were read, and those that could not be."""

    path: str
    findings: list[Finding]
    files: int
    unreadable: list[str]

    @property
    def grade(self) -> str:
        """A: nothing refused; B: refused in under 2 % of uses; C: under 10 %; D: more."""
        refused = sum(f.mark == "refused" for f in self.findings)
        share = refused / max(len(self.findings), 1)
        return "A" if not refused else "B" if share < 0.02 else "C" if share < 0.1 else "D"


def scan_path(path: str) -> Scan:
    """Reads every Python file, notebook and CUDA source under a path."""
    scan = Scan(path, [], 0, [])
    for file in _files(path):
        native = _native(file)
        if native:
            scan.files += 1
            scan.findings.append(native)
        elif file.endswith((".py", ".ipynb")):
            scan.files += 1
            try:
                with open(file, encoding="utf-8", errors="replace") as source:
                    text = source.read()
                text = _notebook(text) if file.endswith(".ipynb") else text
                scan.findings += scan_source(text, file)
            except (SyntaxError, ValueError, KeyError) as error:
                scan.unreadable.append(f"{file}: {error}")
    return scan


def scan_command(path: str, form: str | None) -> int:
    """Prints the scan; 0 when nothing is refused, 1 when something is, 2 without such a path."""
    if not os.path.exists(path):
        print(f"torch-trn: there is no {path}", file=sys.stderr)
        return 2
    scan = scan_path(path)
    if form == "json":
        print(json.dumps({"path": path, "grade": scan.grade, "files": scan.files,
                          "marks": Counter(f.mark for f in scan.findings),
                          "unreadable": scan.unreadable,
                          "findings": [asdict(f) for f in scan.findings]}, indent=1))
    elif form == "sarif":
        from .scan_forms import as_sarif

        print(json.dumps(as_sarif(scan, __version__), indent=1))
    elif form == "html":
        from .scan_forms import scan_page

        print(scan_page(scan, __version__), end="")
    else:
        _print(scan)
    return int(any(f.mark == "refused" for f in scan.findings))


def _print(scan: Scan) -> None:
    for f in scan.findings:
        advice = f" Instead: {f.advice}." if f.advice else ""
        print(f"{f.file}:{f.line}:{f.column}: {f.mark}: {f.name}: {f.what}.{advice}")
    for line in scan.unreadable:
        print(f"not read: {line}")
    marks = Counter(f.mark for f in scan.findings)
    print(f"grade {scan.grade}: {len(scan.findings)} uses of CUDA in {scan.files} files ("
          + ", ".join(f"{marks[m]} {m}" for m in cuda_api.MARKS) + ")")
