"""The honest fallback: what ran on the CPU instead, how often, called from where."""

from __future__ import annotations

from .. import _C

__all__ = ["fallback_details", "fallback_report", "reset_fallback_stats", "set_fallback_mode"]


def fallback_report(by: str = "op") -> dict:
    """Calls that ran on the CPU since the start or the last reset.

    ``by="op"``: {operator: calls}; ``by="line"``: {(operator, "file:line" of the user's program):
    {"calls", "bytes" moved between device and host, "reason"}}. Raises ValueError for another
    ``by``.
    """
    details = fallback_details(by)
    return {key: e["calls"] for key, e in details.items()} if by == "op" else details


def fallback_details(by: str = "op") -> dict:
    """The same with calls, bytes and reason for each in both forms."""
    if by == "op":
        return _C._fallback_counts()
    if by == "line":
        return _C._fallback_counts_by_line()
    raise ValueError(f"fallback_report is made by 'op' or by 'line', not by {by!r}")


def reset_fallback_stats() -> None:
    """Forgets all counts; each operator warns once more."""
    _C._reset_fallback_counts()


def set_fallback_mode(mode: str) -> str:
    """"warn", "error" or "silent" (TRN_FALLBACK at run time); returns the mode before."""
    before = _C._fallback_mode()
    _C._set_fallback_mode(mode)
    return before
