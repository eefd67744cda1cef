"""Attention with what the packages' kernels take: windows, soft caps, slopes, packed sequences."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812


def visible(queries: int, keys: int, left: int, right: int, device) -> torch.Tensor:
    """Which keys a query sees, (queries, keys) bool; the last query stands at the last key.

    ``left`` and ``right`` limit the distance; a negative one does not.
    """
    at = torch.arange(queries, device=device)[:, None] + (keys - queries)
    key = torch.arange(keys, device=device)[None]
    seen = torch.ones(queries, keys, dtype=torch.bool, device=device)
    if left >= 0:
        seen &= key >= at - left
    if right >= 0:
        seen &= key <= at + right
    return seen


def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *, dropout: float = 0.0,
           scale: float | None = None, causal: bool = False, window: tuple[int, int] = (-1, -1),
           softcap: float = 0.0, slopes: torch.Tensor | None = None,
           want_lse: bool = False) -> tuple[torch.Tensor, torch.Tensor | None]:
    """(B, S, H, D) queries over (B, T, G, D) keys and values, G dividing H; (B, S, H, D).

    The second result is the logarithm of each row's sum, (B, H, S) float32, where it is wanted.
    A query that sees no key gives zeros.
    """
    q, k, v = (t.transpose(1, 2) for t in (q, k, v))
    queries, keys = q.size(-2), k.size(-2)
    scale = q.size(-1) ** -0.5 if scale is None else scale
    left, right = window[0], 0 if causal else window[1]
    everything = left < 0 and right < 0
    seen = None if everything else visible(queries, keys, left, right, q.device)
    if not (softcap or slopes is not None or want_lse):
        square = left < 0 and right == 0 and queries == keys
        out = F.scaled_dot_product_attention(
            q, k, v, None if square else seen, dropout, square, scale=scale,
            enable_gqa=q.size(1) != k.size(1))
        if seen is not None and queries > keys:
            out = out.masked_fill(~seen.any(-1)[:, None], 0.0)
        return out.transpose(1, 2), None
    repeats = q.size(1) // k.size(1)
    k, v = (t.repeat_interleave(repeats, 1) for t in (k, v))
    scores = (q.float() @ k.float().transpose(-2, -1)) * scale
    if softcap:
        scores = softcap * torch.tanh(scores / softcap)
    if slopes is not None:
        at = torch.arange(queries, device=q.device)[:, None] + (keys - queries)
        distance = (at - torch.arange(keys, device=q.device)[None]).abs()
        scores = scores - slopes.float().view(-1, q.size(1), 1, 1) * distance
    if seen is not None:
        scores = scores.masked_fill(~seen, float("-inf"))
    lse = scores.logsumexp(-1)
    weights = (scores - lse.masked_fill(lse.isinf(), 0.0)[..., None]).exp()
    out = F.dropout(weights, dropout, training=dropout > 0).to(v.dtype) @ v
    return out.transpose(1, 2), lse


def pieces(tensors, bounds) -> list[tuple[torch.Tensor, ...]]:
    """Packed sequences one by one, each (1, length, heads, width).

    ``bounds`` are (length + 1) integers a tensor, on the host or a device: they are read here.
    """
    lists = [b.tolist() if isinstance(b, torch.Tensor) else list(b) for b in bounds]
    return [tuple(t[b[i]:b[i + 1]][None] for t, b in zip(tensors, lists))
            for i in range(len(lists[0]) - 1)]
