"""Which devices of a traced program are trn."""

from __future__ import annotations

import torch


def is_trn(device: torch.device) -> bool:
    return device.type == torch.device("trn").type  # within migration mode both say "cuda"
