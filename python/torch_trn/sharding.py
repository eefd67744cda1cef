"""How DTensor may share trn's attention out: by batch or by heads, as it does CUDA's."""

from __future__ import annotations

from typing import Any

import torch


def _ways(*matrices: Any) -> list[Any]:
    # Placements under which every given tensor [batch, heads, ...] has its own part.
    from torch.distributed.tensor import Replicate, Shard

    return [Replicate(), *(Shard(d) for d in (0, 1)
                           if len({m.shape[d] for m in matrices}) == 1)]


def _bias_of(way: Any, bias: Any) -> Any:
    # A mask that is the same for all of the sharded dimension stays whole.
    from torch.distributed.tensor import Replicate, Shard

    if bias is None:
        return None
    return way if isinstance(way, Shard) and bias.shape[way.dim] > 1 else Replicate()


def _forward(query: Any, key: Any, value: Any, attn_bias: Any = None, *_: Any, **__: Any):
    from torch.distributed.tensor import Replicate

    result = []
    for way in _ways(query, key, value):
        # output, logsumexp, two lengths that are not given and two numbers, seed and offset, mask
        outputs = [way, way, None, None, None, None, Replicate(), Replicate(), None]
        result.append((outputs, [way, way, way, _bias_of(way, attn_bias)]))
    return result


def _backward(grad_out: Any, query: Any, key: Any, value: Any, attn_bias: Any, *rest: Any,
              **_: Any):
    from torch.distributed.tensor import Partial, Replicate

    given = [r for r in rest[3:] if isinstance(r, type(query))]  # after out and logsumexp
    result = []
    for way in _ways(query, key, value):
        bias = _bias_of(way, attn_bias)
        # Each part of a sharded attention adds to the gradient of a mask that they share.
        grad_bias = Partial() if bias == Replicate() and way != Replicate() else bias
        inputs = [way, way, way, way, *([bias] if bias is not None else []), way, way]
        result.append(([way, way, way, grad_bias], inputs + [Replicate()] * len(given)))
    return result


def register() -> None:
    """Tells DTensor; imports torch.distributed.tensor."""
    from torch.distributed.tensor.experimental import register_sharding

    aten = torch.ops.aten
    register_sharding(aten._scaled_dot_product_fused_attention_overrideable.default)(_forward)
    register_sharding(
        aten._scaled_dot_product_fused_attention_overrideable_backward.default)(_backward)
