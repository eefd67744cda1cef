"""flash_attn.bert_padding: rows of a batch without their padding, and back."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812


def index_first_axis(x: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
    """The rows with these indices."""
    return x[indices]


def index_put_first_axis(values: torch.Tensor, indices: torch.Tensor, rows: int) -> torch.Tensor:
    """Zeros of ``rows`` rows with the values in their places."""
    out = values.new_zeros(rows, *values.shape[1:])
    return out.index_put((indices,), values)


def unpad_input(hidden_states: torch.Tensor, attention_mask: torch.Tensor, unused_mask=None):
    """(rows that count, their indices, bounds of the sequences, longest length, their lengths)."""
    mask = attention_mask if unused_mask is None else attention_mask + unused_mask
    lengths = mask.sum(-1, dtype=torch.int32)
    indices = mask.flatten().nonzero().flatten()
    bounds = F.pad(lengths.cumsum(0, dtype=torch.int32), (1, 0))
    used = attention_mask.sum(-1, dtype=torch.int32)
    return hidden_states.flatten(0, 1)[indices], indices, bounds, int(lengths.max()), used


def pad_input(hidden_states: torch.Tensor, indices: torch.Tensor, batch: int,
              seqlen: int) -> torch.Tensor:
    """(batch, seqlen, ...) with zeros where there was padding."""
    rows = index_put_first_axis(hidden_states, indices, batch * seqlen)
    return rows.unflatten(0, (batch, seqlen))
