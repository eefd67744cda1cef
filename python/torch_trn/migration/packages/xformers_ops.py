"""xformers.ops: memory-efficient attention over scaled_dot_product_attention."""

from __future__ import annotations

import itertools
import sys

import torch
import torch.nn.functional as F  # noqa: N812

from torch_trn.migration.packages.attention import attend, pieces


class AttentionBias:
    """What may stand for a bias tensor."""


class LowerTriangularMask(AttentionBias):
    """A query sees the keys up to its own position, counted from the first key."""


class LowerTriangularFromBottomRightMask(AttentionBias):
    """The same, counted from the last key."""


class BlockDiagonalMask(AttentionBias):
    """Sequences packed in one row, each seeing itself only."""

    def __init__(self, q_seqlen: list[int], kv_seqlen: list[int], causal: bool = False):
        self.q_seqlen, self.kv_seqlen, self.causal = q_seqlen, kv_seqlen, causal

    @classmethod
    def from_seqlens(cls, q_seqlen, kv_seqlen=None, *, device=None):
        """From the lengths of the sequences."""
        return cls(list(q_seqlen), list(q_seqlen if kv_seqlen is None else kv_seqlen))

    def make_causal(self) -> BlockDiagonalMask:
        """The same, each sequence causal."""
        return BlockDiagonalMask(self.q_seqlen, self.kv_seqlen, True)

    def split(self, tensor: torch.Tensor) -> list[torch.Tensor]:
        """The sequences of a packed tensor, (1, total, ...)."""
        return list(tensor.split(self.q_seqlen, 1))


def _bounds(lengths):
    return [0, *itertools.accumulate(lengths)]


def memory_efficient_attention(query, key, value, attn_bias=None, p=0.0, scale=None, *, op=None,
                               output_dtype=None):
    """(B, M, H, K), or (B, M, K) for one head; the bias a tensor (B, H, M, N) or a mask."""
    if query.dim() == 3:
        if isinstance(attn_bias, torch.Tensor) and attn_bias.dim() == 3:
            attn_bias = attn_bias[:, None]
        return memory_efficient_attention(*(t[:, :, None] for t in (query, key, value)), attn_bias,
                                          p, scale, output_dtype=output_dtype)[:, :, 0]
    if isinstance(attn_bias, BlockDiagonalMask):
        keys = _bounds(attn_bias.kv_seqlen)
        parts = pieces((query[0], key[0], value[0]), (_bounds(attn_bias.q_seqlen), keys, keys))
        masks = LowerTriangularMask() if attn_bias.causal else None
        out = torch.cat([memory_efficient_attention(*part, masks, p, scale) for part in parts], 1)
    elif attn_bias is None or isinstance(attn_bias, LowerTriangularFromBottomRightMask):
        out = attend(query, key, value, dropout=p, scale=scale, causal=attn_bias is not None)[0]
    else:
        q, k, v = (t.transpose(1, 2) for t in (query, key, value))
        if isinstance(attn_bias, LowerTriangularMask):
            bias, causal = None, True
        elif isinstance(attn_bias, torch.Tensor):
            bias, causal = attn_bias.to(q.dtype), False
        else:
            raise NotImplementedError(f"torch-trn's xformers has no {type(attn_bias).__name__}")
        out = F.scaled_dot_product_attention(q, k, v, bias, p, causal, scale=scale).transpose(1, 2)
    return out if output_dtype is None else out.to(output_dtype)


memory_efficient_attention_forward = memory_efficient_attention
fmha = attn_bias = sys.modules[__name__]
