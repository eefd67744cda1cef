"""The CUDA uses of one source, found in its syntax tree."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

from ..migration import cuda_api
from ..migration.cuda_api import Row
from .scan_names import assigned, bound, texts
from .scan_read import parse

#: The table's marks, and that of names of torch.cuda which it does not have.
MARKS = (*cuda_api.MARKS, "unknown")
#: The row of CUDA C++ and of what compiles it.
CUDA_SOURCES = "torch.utils.cpp_extension.CUDAExtension"

_PACKAGES = tuple(name.split(".", 1)[1] for name in cuda_api.rows() if name.startswith("package."))
_KERNELS = {"triton": "Triton", "numba.cuda": "Numba", "cupyx": "CuPy"}
_DEVICE = re.compile(r"cuda(:(\d+|%[dis]|\{\w*\})?)?")
_NAME = re.compile(r"torch\.cuda\.\w+")
_LIBRARY = re.compile(r"(?:.*/)?(lib[\w-]+)\.so[.\d]*")
# These compile what they are given, CUDA sources too.
_COMPILERS = tuple(f"torch.utils.cpp_extension.{name}" for name in ("load", "CppExtension"))
# Other names of the table mean CUDA by their arguments only, which are noted.
_NAMES_CUDA = re.compile("cuda|cudnn|nccl|nvtx|DataParallel", re.IGNORECASE)
_ABSENCE = {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"}


@dataclass(frozen=True)
class Finding:
    """One use: where, what, what happens to it, and for a refused one what to change.

    In a notebook the line is that of the cell, which is counted from 1; elsewhere the cell is 0.
    """

    file: str
    line: int
    column: int
    name: str
    mark: str
    what: str
    advice: str = ""
    cell: int = 0


def _text_of(node: ast.AST | None) -> str | None:
    """What a string in the source says, if the node is one."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _goes_on(handler: ast.ExceptHandler) -> bool:
    """Whether a program continues here after an import that failed."""
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    caught = any(kind is None or isinstance(kind, ast.Name) and kind.id in _ABSENCE
                 for kind in kinds)
    return caught and not any(isinstance(line, ast.Raise) for line in handler.body)


class Visitor(ast.NodeVisitor):
    """Follows the names a source gives to torch's modules, and notes what it does with them."""

    def __init__(self, file: str):
        self.file = file
        self.cell = 0
        self.names: dict[str, str] = {}  # in this file -> qualified
        self.modules: set[str] = set()  # of those names, the ones of whole modules
        self.starred: set[str] = set()  # of those names, the ones that "import *" brought
        self.own: set[str] = set()  # names of the source's values, functions and classes
        self.values: dict[str, list[ast.expr]] = {}  # what its variables are given
        self.guards = 0
        self.packages: dict[str, Row] = {}  # imported so far
        self.found: set[Finding] = set()

    def note(self, node: ast.AST, name: str, row: Row) -> None:
        self.found.add(Finding(self.file, node.lineno, node.col_offset + 1, name, row.mark,
                               row.text, row.advice, self.cell))

    def findings(self) -> list[Finding]:
        """What was noted, in the source's order."""
        return sorted(self.found, key=lambda f: (f.cell, f.line, f.column, f.name))

    def qualified(self, node: ast.expr) -> str | None:
        if isinstance(node, ast.Name):
            return self.names.get(node.id)
        if isinstance(node, ast.Attribute):
            base = self.qualified(node.value)
            return f"{base}.{node.attr}" if base else None
        return None

    def _package(self, node: ast.AST, module: str) -> bool:
        for package in _PACKAGES:
            if module == package or module.startswith(package + "."):
                row = cuda_api.rows()[f"package.{package}"]
                if self.guards and row.mark == "refused":
                    row = Row(row.name, "adapted",
                              "its import is guarded, and the program goes on without it")
                self.packages[package] = row
                self.note(node, f"import {module}", row)
                return True
        return False

    def visit_Module(self, node: ast.Module) -> None:  # noqa: N802
        self.own |= bound(node)
        for name in self.own & self.starred:  # brought in an earlier cell
            self.starred.discard(name)
            del self.names[name]
        for name, values in assigned(node).items():
            self.values.setdefault(name, []).extend(values)
        self.generic_visit(node)

    def visit_Try(self, node: ast.Try) -> None:  # noqa: N802
        guarded = any(map(_goes_on, node.handlers))
        self.guards += guarded
        for line in node.body:
            self.visit(line)
        self.guards -= guarded
        for line in (*node.handlers, *node.orelse, *node.finalbody):
            self.visit(line)

    def visit_With(self, node: ast.With) -> None:  # noqa: N802
        guarded = any(isinstance(item.context_expr, ast.Call)
                      and self.qualified(item.context_expr.func) == "contextlib.suppress"
                      for item in node.items)
        self.guards += guarded
        self.generic_visit(node)
        self.guards -= guarded

    def visit_Import(self, node: ast.Import) -> None:  # noqa: N802
        for alias in node.names:
            self._package(node, alias.name)
            name = alias.name if alias.asname else alias.name.split(".")[0]
            self.names[alias.asname or name] = name
            self.modules.add(alias.asname or name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:  # noqa: N802
        if node.level or not node.module:
            return
        whole = self._package(node, node.module)
        for alias in node.names:
            name = f"{node.module}.{alias.name}"
            self.names[alias.asname or alias.name] = name
            if not whole:
                self._package(node, name)
            if alias.name == "*" and re.match(r"torch\.cuda\b", name):
                self._everything(node, node.module)
            self._known(node, name)

    def _everything(self, node: ast.AST, module: str) -> None:
        """``from module import *``: its names mean what the table says of them, in what follows."""
        brought = {row.rpartition(".")[2]: row for row in cuda_api.rows()
                   if row.rpartition(".")[0] == module}
        public = {name for name in brought if not name.startswith("_")} - self.own
        self.names.update((name, brought[name]) for name in public)
        self.starred |= public
        name = f"{module}.*"
        if brought:
            self.note(node, name, Row(name, "same", "the names that it brings are followed"))
        else:
            self.note(node, name, Row(name, "unknown", "the table has no names of this module"))

    def visit_Assign(self, node: ast.Assign) -> None:  # noqa: N802
        name = self.qualified(node.value)
        for target in node.targets:
            if name and isinstance(target, ast.Name):
                self.names[target.id] = name
        self.generic_visit(node)

    def _known(self, node: ast.AST, name: str) -> bool:
        row = cuda_api.find(name)
        if row is None:
            if not name.startswith("torch.cuda.") or not self._is_missing(name):
                return False
            row = Row(name, "unknown", "the table has no such name of torch.cuda")
        elif not _NAMES_CUDA.search(name):
            return False
        self.note(node, name, row)
        return True

    @staticmethod
    def _is_missing(name: str) -> bool:
        """Whether a name that has no row is not part of one, nor a module of some."""
        parent, _, last = name.rpartition(".")
        holds = lambda module: module in cuda_api.ALIASES or any(
            row.startswith(module + ".") for row in cuda_api.rows())
        known = cuda_api.find(parent) is not None and not holds(parent)
        return not (last.startswith("__") or last == "*" or known or holds(name))

    def visit_Name(self, node: ast.Name) -> None:  # noqa: N802
        if node.id in self.starred:  # others were noted where they were imported
            self._known(node, self.names[node.id])

    def visit_Attribute(self, node: ast.Attribute) -> None:  # noqa: N802
        name = self.qualified(node)
        if name and self._known(node, name):
            return
        if name in _PACKAGES and name not in self.packages:
            self._package(node, name)
        if name is None and node.attr == "is_cuda" and not isinstance(node.ctx, ast.Store):
            self.note(node, ".is_cuda", cuda_api.rows()["torch.Tensor.is_cuda"])
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:  # noqa: N802
        name = self.qualified(node.func) or ""
        if isinstance(node.func, ast.Attribute) and node.func.attr == "cuda":
            base = node.func.value
            if not name.startswith("torch.") and getattr(base, "id", None) not in self.modules:
                self.note(node.func, ".cuda", cuda_api.rows()["torch.Tensor.cuda"])
        for keyword in node.keywords:
            row = cuda_api.find(f"{name}.{keyword.arg}")
            if row and getattr(keyword.value, "value", True):
                self.note(keyword.value, f"{name}({keyword.arg}=...)", row)
        if name in _COMPILERS:
            for inner in texts(node, self.values):
                if inner.value.lower().endswith((".cu", ".cuh")):
                    self.note(inner, f'"{inner.value}"', cuda_api.rows()[CUDA_SOURCES])
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:  # noqa: N802
        # A sum of a thousand terms is nested as deep: its left sides are followed in a loop.
        terms: list[ast.expr] = []
        left: ast.expr = node
        while isinstance(left, ast.BinOp):
            terms.append(left.right)
            left = left.left
        for term in (left, *reversed(terms)):
            self.visit(term)

    def visit_Expr(self, node: ast.Expr) -> None:  # noqa: N802
        if _text_of(node.value) is None:  # a docstring uses nothing
            self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:  # noqa: N802
        looked_for = isinstance(node.ops[0], (ast.In, ast.NotIn))
        (self._key if looked_for else self.visit)(node.left)
        for side in node.comparators:
            self.visit(side)

    def visit_Dict(self, node: ast.Dict) -> None:  # noqa: N802
        for key, value in zip(node.keys, node.values):
            self._key(key)
            self.visit(value)

    def _key(self, node: ast.expr | None) -> None:
        """What is looked for or looked up: "cuda" is only a word there, a variable is one."""
        text = _text_of(node)
        if text is not None:
            self._environment(node, text)
        elif node is not None:
            self.visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:  # noqa: N802
        text = _text_of(node)
        if text is not None:
            self._text(node, text)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:  # noqa: N802
        begin, whole = "", True
        for value in node.values:
            inner = value.value if isinstance(value, ast.FormattedValue) else value
            text = _text_of(inner)
            whole = whole and text is not None
            begin += text if whole else ""
            if text is None:
                self.visit(inner)
        if whole:
            self._text(node, begin)
        elif begin == "cuda:":
            self.note(node, 'f"cuda:{...}"', cuda_api.rows()["torch.device"])

    def _text(self, node: ast.AST, text: str) -> None:
        library = _LIBRARY.fullmatch(text)
        if _DEVICE.fullmatch(text):
            self.note(node, f'"{text}"', cuda_api.rows()["torch.device"])
        elif {"nccl", "cuda:nccl"} & set(text.lower().split(",")):
            self.note(node, f'"{text}"', cuda_api.rows()["torch.distributed.init_process_group"])
        elif library and f"library.{library[1]}" in cuda_api.rows():
            self.note(node, f'"{text}"', cuda_api.rows()[f"library.{library[1]}"])
        elif _NAME.fullmatch(text) and cuda_api.find(text):
            self._known(node, text)
        else:
            self._environment(node, text)

    def _environment(self, node: ast.AST, text: str) -> None:
        row = cuda_api.find(text) if text.isupper() else None
        if row:
            self.note(node, text, row)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:  # noqa: N802
        for decorator in node.decorator_list:
            target = decorator.func if isinstance(decorator, ast.Call) else decorator
            name = self.qualified(target) or ""
            for package, label in _KERNELS.items():
                if name.startswith(package + "."):
                    row = self.packages.get(package) or cuda_api.rows()[f"package.{package}"]
                    self.note(node, f"{label} kernel {node.name}", row)
        self.generic_visit(node)


def scan_source(source: str | bytes, file: str) -> list[Finding]:
    """The CUDA uses of one Python source; bytes say their encoding as Python's files do.

    Raises SyntaxError or ValueError for what is not Python, RecursionError for what is nested
    too deeply.
    """
    visitor = Visitor(file)
    visitor.visit(parse(source, file))
    return visitor.findings()
