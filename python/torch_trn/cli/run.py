"""torch-trn run: a program, unmodified, with CUDA redirected to trn."""

from __future__ import annotations

import builtins
import contextlib
import importlib.metadata
import importlib.util
import io
import os
import runpy
import sys
import traceback
import types
from typing import TYPE_CHECKING

from .ending import before_termination

if TYPE_CHECKING:
    from .receipt import Receipt

OVER_BUDGET = 3  # the exit code of a run that was right but above its budget


def _exit_code(status: object) -> int:
    if status is None:
        return 0
    if isinstance(status, int):
        return status
    print(status, file=sys.stderr)
    return 1


def _may_be_module(name: str) -> bool:
    # Not its package's parts: to find these the package is imported, and that is to find CUDA.
    first = name.partition(".")[0]
    return bool(first) and importlib.util.find_spec(first) is not None


def run_program(script: str, args: list[str], *, is_module: bool = False, quiet: bool = False,
                receipt_path: str | None = None, budget: str | None = None) -> int:
    """Runs a script (or a module) as ``__main__`` with its arguments; returns its exit code.

    Child processes are redirected as well: they inherit TORCH_TRN_MIGRATE=1; where torch-trn is not
    installed, a line on stderr says that they are not. At the end a receipt on stderr says what was
    redirected and what fell back, in all of them; ``receipt_path`` gets it as a page and as JSON.
    2, before anything runs, when there is no such script, the budget is none or no receipt can be
    written; 3 when the run is fine but above ``budget``. SIGTERM ends the program, not its receipt.
    """
    if not program_is_there(script, is_module):
        return 2
    os.environ["TORCH_TRN_MIGRATE"] = "1"
    _say_if_children_are_not_redirected()
    from .. import migration
    from . import accounts
    from .receipt import Watch, over_budget, print_receipt

    try:
        limits, receipt_path = _wishes(budget, receipt_path)
    except ValueError as error:
        print(f"torch-trn: {error}", file=sys.stderr)
        return 2
    if not migration.is_active():
        migration.activate()
    watch = Watch()
    finish = accounts.begin()

    def close(code: int) -> tuple[Receipt, int]:
        # RuntimeError: a signal came while it was written to.
        with contextlib.suppress(AttributeError, ValueError, OSError, RuntimeError):
            sys.stdout.flush()  # unless the program closed it
        receipt = watch.receipt([script, *args], code)
        finish(receipt)
        code = _written(receipt, receipt_path, code) if receipt_path else code
        if not quiet and not getattr(sys.stderr, "closed", True):
            print_receipt(receipt)
        return receipt, code

    receipt, code, owner = None, 1, os.getpid()
    try:
        with before_termination(close):
            code = run_as_main(script, args, is_module)
    finally:
        if os.getpid() == owner:  # a process that the program forks may come back here, too
            receipt, code = close(code)
    excess = over_budget(receipt, limits) if receipt else []
    for sentence in excess:
        print(f"torch-trn: {sentence}", file=sys.stderr)
    return code or (OVER_BUDGET if excess else 0)


def _wishes(budget: str | None, path: str | None) -> tuple[dict[str, float], str | None]:
    # The path is made absolute before the program can change the folder.
    from .receipt import parse_budget, why_not_written

    limits = {} if budget is None else parse_budget(budget)
    if path is None:
        return limits, None
    path = os.path.abspath(path)
    refusal = why_not_written(path)
    if refusal:
        raise ValueError(f"--receipt: {refusal}")
    return limits, path


def _written(receipt: Receipt, path: str, code: int) -> int:
    # The folder may have gone since it was looked at.
    from .receipt import write_receipt

    try:
        write_receipt(receipt, path)
    except OSError as error:
        print(f"torch-trn: --receipt: {error}", file=sys.stderr)
        return code or 2
    return code


def _say_if_children_are_not_redirected() -> None:
    # What they inherit is read by torch_trn, which only this entry point makes torch import.
    entries = importlib.metadata.entry_points(group="torch.backends")
    if not any(entry.module == "torch_trn_autoload" for entry in entries):
        print("torch-trn: it is not installed (there is no entry point of torch.backends), so "
              "processes that the program starts are not redirected", file=sys.stderr)


def program_is_there(script: str, is_module: bool) -> bool:
    """Puts the program's folder first on sys.path, as Python does; says so if there is no program.
    """
    is_folder = os.path.isfile(os.path.join(script, "__main__.py"))
    if is_module or not is_folder:  # a folder that runs is put there when it does
        sys.path.insert(0, os.getcwd() if is_module else os.path.dirname(os.path.abspath(script)))
    there = _may_be_module(script) if is_module else is_folder or os.path.isfile(script)
    if not there:
        _say_there_is_none(script, is_module)
    return there


def _say_there_is_none(script: str, is_module: bool) -> None:
    print(f"torch-trn: there is no {'module' if is_module else 'file'} {script}", file=sys.stderr)


def run_as_main(script: str, args: list[str], is_module: bool = False) -> int:
    """Runs the script as ``__main__``, its traceback beginning at its own frames; its exit code."""
    sys.argv = [script, *args]
    try:
        if is_module:
            runpy.run_module(script, run_name="__main__", alter_sys=True)
        elif script.endswith(".py"):
            _run_file(os.path.join(os.getcwd(), script))
        else:
            runpy.run_path(script, run_name="__main__")
        return 0
    except SystemExit as stop:
        return _exit_code(stop.code)
    except KeyboardInterrupt:
        return 130
    except BaseException as error:
        if is_module and type(error) is ImportError and _raised_by_runpy(error):
            _say_there_is_none(script, is_module)
            return 2
        _print_error()
        return 1


def _raised_by_runpy(error: BaseException) -> bool:
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return frame.f_code.co_filename in ("<frozen runpy>", runpy.__file__)


def _run_file(path: str) -> None:
    # runpy would say this path in sys.argv[0], too, where Python leaves what was typed.
    module = types.ModuleType("__main__")
    module.__file__, module.__builtins__ = path, builtins
    sys.modules["__main__"] = module
    with io.open_code(path) as file:
        exec(compile(file.read(), path, "exec"), module.__dict__)


def _print_error() -> None:
    # Only the program's own frames: what started or watches it says nothing about its error.
    here = os.path.join(os.path.dirname(__file__), "")
    _, error, trace = sys.exc_info()
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(
            (here, "<frozen runpy>", runpy.__file__)):
        trace = trace.tb_next
    if sys.excepthook is not sys.__excepthook__:
        sys.excepthook(type(error), error, trace)
        return
    shown = traceback.TracebackException(type(error), error, trace)
    for frame in [one for one in shown.stack if one.filename.startswith(here)]:
        shown.stack.remove(frame)
    print("".join(shown.format()), end="", file=sys.stderr)
