"""flex_attention on trn: accepted where PyTorch lists devices, and compiled as plain operators.

PyTorch's templates of it are Triton, Metal and a C++ one for inference on the CPU. Here the
operator and its gradient become matrix products around one fused loop over the scores.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from .devices import is_trn

_LN2 = math.log(2.0)  # logsumexp and maxima leave the operator in units of log 2
_NO_BLOCKS = 1 << 30  # the block size of a block mask that masks nothing


def register_front() -> None:
    """Lets torch.nn.attention.flex_attention take trn's tensors, autocast as on CUDA."""
    from torch._higher_order_ops.flex_attention import _autocast_cast, flex_attention
    from torch.nn.attention import flex_attention as front

    check = front._validate_device

    @functools.wraps(check)
    def validate(query: Tensor, key: Tensor, value: Tensor) -> None:
        if not is_trn(query.device):
            check(query, key, value)

    front._validate_device = validate

    @flex_attention.py_impl(torch._C.DispatchKey.AutocastPrivateUse1)
    def autocast(query: Tensor, key: Tensor, value: Tensor, *rest: Any):
        device = query.device.type
        dtype = torch.get_autocast_dtype(device)
        query, key, value = (_autocast_cast(t, device, dtype) for t in (query, key, value))
        keys = torch._C.DispatchKeySet(torch._C.DispatchKey.AutocastPrivateUse1)
        with torch._C._ExcludeDispatchKeyGuard(keys):
            return flex_attention(query, key, value, *rest)


class _Attention:
    """The operator's arguments that forward and backward share.

    ``query`` is [B, H, M, E], ``key`` [B or 1, H / group, N, E], ``value`` [.., N, V];
    `score` is called with a score and its four indices, `mask` with the indices.
    """

    def __init__(self, query, key, value, score, block_mask, scale, buffers, mask_buffers) -> None:
        from torch.nn.attention.flex_attention import _vmap_for_bhqkv

        self.query, self.key, self.value, self.scale = query, key, value, scale
        self.buffers, self.mask_buffers = buffers, mask_buffers
        self.work = torch.float64 if query.dtype == torch.float64 else torch.float32
        self.batch, self.heads, self.rows, _ = query.shape
        self.shared_heads, self.columns = key.shape[1], key.shape[2]
        self.indices = [torch.arange(n, device=query.device)
                        for n in (self.batch, self.heads, self.rows, self.columns)]
        self.score = _vmap_for_bhqkv(score, (0,), (None,) * len(buffers))
        mask = _vmap_for_bhqkv(block_mask[-1], (), (None,) * len(mask_buffers))
        self.seen = self._within_blocks(block_mask, mask(*self.indices, *mask_buffers))

    def _within_blocks(self, block_mask, mask: Tensor) -> Tensor:
        """The mask where a block is partial, true in full ones, false in those not listed."""
        _, _, count, order, full_count, full_order, *_, block_rows, block_columns, _ = block_mask
        if block_rows == block_columns == _NO_BLOCKS:
            return mask
        blocks = -(-self.columns // block_columns)

        def listed(count: Tensor, order: Tensor) -> Tensor:
            position = torch.arange(order.shape[-1], device=order.device)
            place = torch.where(position < count.unsqueeze(-1), order, blocks).clamp(max=blocks)
            table = torch.zeros(*order.shape[:-1], blocks + 1, dtype=torch.bool,
                                device=order.device)
            table = table.scatter(-1, place.long(), True)
            b, h, row, column = (i.view([-1 if d == at else 1 for d in range(4)])
                                 for at, i in enumerate(self.indices))
            return table[b % table.shape[0], h % table.shape[1], row // block_rows,
                         column // block_columns]

        seen = listed(count, order) & mask
        return seen if full_count is None else seen | listed(full_count, full_order)

    def by_group(self, t: Tensor) -> Tensor:
        """[B, H, M, x] as [B, H / group, group * M, x]: heads that share a key are its rows."""
        return t.reshape(self.batch, self.shared_heads, -1, t.shape[-1])

    def by_head(self, t: Tensor) -> Tensor:
        return t.reshape(self.batch, self.heads, self.rows, t.shape[-1])

    def scores(self) -> tuple[Tensor, Tensor]:
        """Scaled scores [B, H, M, N], and the same modified, -inf where the mask hides them."""
        query, key = self.query.to(self.work), self.key.to(self.work)
        plain = self.by_head(self.by_group(query) @ key.mT) * self.scale
        modified = self.score(plain, *self.indices, *self.buffers).to(self.work)
        return plain, modified.masked_fill(~self.seen, -math.inf)

    def forward(self) -> tuple[Tensor, Tensor, Tensor]:
        _, scores = self.scores()
        top = scores.amax(-1, keepdim=True)
        weights = (scores - top.masked_fill(top == -math.inf, 0)).exp()
        total = weights.sum(-1, keepdim=True)
        # Rows that see nothing attend to nothing.
        weights = (weights / total.masked_fill(total == 0, 1)).to(self.query.dtype)
        out = self.by_head(self.by_group(weights) @ self.value.to(self.query.dtype))
        return (out, *(t.squeeze(-1).float() / _LN2 for t in (total.log() + top, top)))

    def backward(self, out, logsumexp, grad_out, grad_logsumexp, joint) -> tuple:
        from torch.nn.attention.flex_attention import _vmap_for_bhqkv

        dtype, shared = self.query.dtype, self.key.shape[0] == 1 and self.batch != 1
        if grad_out is None:
            grad_out = torch.zeros_like(out)
        plain, scores = self.scores()
        shift = (logsumexp * _LN2).to(self.work).unsqueeze(-1)
        weights = (scores - shift).exp().masked_fill(shift == -math.inf, 0)
        grad_value = self.by_group(weights.to(dtype)).mT @ self.by_group(grad_out)
        grad_weights = self.by_head(self.by_group(grad_out.to(self.work)) @
                                    self.value.to(self.work).mT)
        spread = (out.to(self.work) * grad_out.to(self.work)).sum(-1, keepdim=True)
        if grad_logsumexp is not None:
            spread = spread - (grad_logsumexp / _LN2).unsqueeze(-1)
        grad_modified = weights * (grad_weights - spread)

        n = len(self.buffers)
        joint = _vmap_for_bhqkv(joint, (0,), (0, *(None,) * n), [0, *(None,) * (4 + n)])
        grad_scores, _, _, _, _, *grad_buffers = joint(
            plain, *self.indices, grad_modified, *self.buffers)
        grad_scores = (grad_scores * self.scale).masked_fill(~self.seen, 0).to(dtype)
        grad_query = self.by_head(self.by_group(grad_scores) @ self.key)
        grad_key = self.by_group(grad_scores).mT @ self.by_group(self.query)
        if shared:
            grad_key, grad_value = (g.sum(0, keepdim=True) for g in (grad_key, grad_value))
        return grad_query, grad_key, grad_value, tuple(grad_buffers)


def _forward(query, key, value, score, block_mask, scale, options, buffers=(), mask_buffers=()):
    return _Attention(query, key, value, score, block_mask, scale, buffers, mask_buffers).forward()


def _backward(query, key, value, out, logsumexp, grad_out, grad_logsumexp, score, joint, block_mask,
              scale, options, buffers=(), mask_buffers=()):
    attention = _Attention(query, key, value, score, block_mask, scale, buffers, mask_buffers)
    return attention.backward(out, logsumexp, grad_out, grad_logsumexp, joint)


def _scattered(shape: Sequence[int], indices: list[Tensor], values: Tensor) -> Tensor:
    return values.new_zeros(shape).index_put(indices, values, accumulate=True)


#: What becomes of the operators: called with their arguments, whose functions are graphs.
OPERATORS: dict[str, Callable] = {"flex_attention": _forward, "flex_attention_backward": _backward}


def decompositions() -> dict[Any, Callable]:
    """Of what score functions' gradients call."""
    return {torch.ops.flex_lib.zeros_and_scatter.default: _scattered}
