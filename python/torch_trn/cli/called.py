"""What a line of a program calls, for who reads of operators that the line does not name."""

from __future__ import annotations

import ast
import functools
import linecache
import warnings

_MOST = 3  # names of one line


@functools.cache
def _calls(path: str) -> tuple[ast.Call, ...]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse("".join(linecache.getlines(path)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ()
    return tuple(node for node in ast.walk(tree) if isinstance(node, ast.Call))


def _name(func: ast.expr) -> str:
    if isinstance(func, ast.Name):
        return func.id
    if isinstance(func, ast.Attribute):
        base = _name(func.value)
        return f"{base}.{func.attr}" if base else ""
    return ""


def _names_device(call: ast.Call) -> bool:
    return any(keyword.arg == "device" for keyword in call.keywords) or any(
        isinstance(a, ast.Constant) and str(a.value).startswith("cuda") for a in call.args)


def called(site: str) -> str:
    """The functions that a "file:line" calls, as it names them: "torch.zeros, torch.ones".

    Only those that are given a device, where some are; empty where the source is not known.
    """
    path, _, number = site.rpartition(":")
    if not number.isdigit():
        return ""
    line = int(number)
    here = [call for call in _calls(path) if line in (call.lineno, call.func.end_lineno)]
    here = [call for call in here if _names_device(call)] or here
    names = dict.fromkeys(name for name in map(lambda call: _name(call.func), here) if name)
    return ", ".join(list(names)[:_MOST]) + (", ..." if len(names) > _MOST else "")
