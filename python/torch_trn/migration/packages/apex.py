"""apex: its optimizers, norms, amp and parallel."""

from apex import amp, normalization, optimizers, parallel

__all__ = ["amp", "normalization", "optimizers", "parallel"]
