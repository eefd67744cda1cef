"""What the processes that a run starts did: each leaves an account, the receipt adds them."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from multiprocessing import util
from operator import add as add_up
from typing import Any

from .. import migration, trn
from .receipt import Receipt, Watch

#: Names the folder that this run's processes leave their accounts in.
VARIABLE = "TORCH_TRN_ACCOUNTS"

_redirected_before: dict[tuple[str, str], int] = {}  # as the last fork found it


def _path(folder: str) -> str:
    return os.path.join(folder, f"{os.getpid()}.json")


def _leave(watch: Watch, folder: str, before: dict[tuple[str, str], int]) -> None:
    try:
        receipt = watch.receipt([], 0)
        for entry in receipt.redirected:
            entry["calls"] -= before.get((entry["name"], entry["site"]), 0)
        receipt.redirected = [entry for entry in receipt.redirected if entry["calls"] > 0]
        whole = _path(folder) + ".part"
        with open(whole, "w") as file:
            json.dump(asdict(receipt), file)
        os.replace(whole, _path(folder))
    except FileNotFoundError:
        pass  # the run that asked for accounts is over, and its folder with it


def _leave_forked(watch: Watch, folder: str) -> None:
    # One that did not open the device, such as a loader's worker, counted nothing of its own.
    if not trn._is_in_bad_fork() and trn.is_initialized():
        _leave(watch, folder, _redirected_before)


def _before_fork() -> None:
    if VARIABLE in os.environ:
        _redirected_before.clear()
        _redirected_before.update(migration.redirections())


def _after_fork(_: Any) -> None:
    # multiprocessing ends a forked process by its own finalizers, without those of atexit.
    folder = os.environ.get(VARIABLE)
    if folder:
        util.Finalize(None, _leave_forked, args=(Watch(), folder), exitpriority=0)


def _follow_forks() -> None:
    os.register_at_fork(before=_before_fork)
    util.register_after_fork(_follow_forks, _after_fork)


def begin() -> Callable[[Receipt], None]:
    """Asks the processes started from now on for accounts; call the result with the receipt.

    It adds what they did to the receipt: counts are summed, peaks of memory are the greatest that
    one process had.
    """
    # No TemporaryDirectory: a process that the program forks would remove it when it ends.
    folder = tempfile.mkdtemp(prefix="torch-trn-")
    outer = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = folder
    _follow_forks()

    def finish(receipt: Receipt) -> None:
        if outer is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = outer
        try:
            for name in sorted(os.listdir(folder)):
                if name.endswith(".json"):
                    with open(os.path.join(folder, name)) as file:
                        text = file.read()
                    receipt.processes += 1
                    if text:
                        add(receipt, json.loads(text))
                    else:
                        receipt.without_account += 1
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    return finish


def open_account(folder: str) -> None:
    """Promises this process's account, and leaves it when the process ends."""
    try:
        open(_path(folder), "w").close()
    except FileNotFoundError:
        return  # the run that asked is over
    _follow_forks()
    owner, watch = os.getpid(), Watch()

    def leave() -> None:
        if os.getpid() == owner:
            _leave(watch, folder, {})

    atexit.register(leave)


def _merge(into: list[dict[str, Any]], more: list[dict[str, Any]], keys: tuple[str, ...],
           combine: dict[str, Callable[[Any, Any], Any]]) -> None:
    found = {tuple(entry[key] for key in keys): entry for entry in into}
    for entry in more:
        same = found.get(tuple(entry[key] for key in keys))
        if same is None:
            into.append(entry)
            continue
        for figure, way in combine.items():
            same[figure] = way(same[figure], entry[figure])


def add(receipt: Receipt, account: dict[str, Any]) -> None:
    """Adds one process's account, a receipt as a dictionary, to a receipt."""
    receipt.launches += account["launches"]
    _merge(receipt.redirected, account["redirected"], ("name", "site"), {"calls": add_up})
    _merge(receipt.fallbacks, account["fallbacks"], ("operator", "site"),
           {"calls": add_up, "bytes": add_up, "seconds": add_up})
    _merge(receipt.warnings, account["warnings"], ("site", "category", "message"),
           {"count": add_up})
    _merge(receipt.memory, account["memory"], ("device",), {"allocated": max, "reserved": max})
    receipt.redirected.sort(key=lambda e: (-e["calls"], e["name"], e["site"]))
    receipt.memory.sort(key=lambda e: e["device"])
