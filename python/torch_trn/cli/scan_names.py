"""What a source calls its own: names that it binds, and the texts that its variables hold."""

from __future__ import annotations

import ast
from collections.abc import Iterator

_ADDING = {"append", "extend", "insert"}


def bound(tree: ast.AST) -> set[str]:
    """Names that a source gives to values, arguments, functions and classes of its own."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.arg):
            names.add(node.arg)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
    return names


def assigned(tree: ast.AST) -> dict[str, list[ast.expr]]:
    """{variable: what is assigned or added to it anywhere in a source}."""
    values: dict[str, list[ast.expr]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            targets, held = node.targets, [node.value]
        elif isinstance(node, (ast.AugAssign, ast.AnnAssign)) and node.value:
            targets, held = [node.target], [node.value]
        elif (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
              and node.func.attr in _ADDING):
            targets, held = [node.func.value], node.args
        else:
            continue
        for target in targets:
            if isinstance(target, ast.Name):
                values.setdefault(target.id, []).extend(held)
    return values


def texts(node: ast.AST, values: dict[str, list[ast.expr]]) -> Iterator[ast.Constant]:
    """The strings of an expression and of the variables it names, each variable once."""
    todo: list[ast.AST] = [node]
    seen: set[str] = set()
    while todo:
        for inner in ast.walk(todo.pop()):
            if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
                yield inner
            elif isinstance(inner, ast.Name) and inner.id not in seen:
                seen.add(inner.id)
                todo += values.get(inner.id, ())
