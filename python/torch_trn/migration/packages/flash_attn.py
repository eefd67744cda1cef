"""flash_attn's functions over scaled_dot_product_attention."""

from __future__ import annotations

import torch

from torch_trn.migration.packages.attention import attend, pieces

__version__ = "2.8.3"


def _finish(out, lse, wanted):
    return (out, lse, None) if wanted else out


def flash_attn_func(q, k, v, dropout_p=0.0, softmax_scale=None, causal=False, window_size=(-1, -1),
                    softcap=0.0, alibi_slopes=None, deterministic=False, return_attn_probs=False):
    """(B, S, H, D) each; causal is aligned at the last key. With probabilities asked for: (out,
    logarithms of sums, None)."""
    out, lse = attend(q, k, v, dropout=dropout_p, scale=softmax_scale, causal=causal,
                      window=window_size, softcap=softcap, slopes=alibi_slopes,
                      want_lse=return_attn_probs)
    return _finish(out, lse, return_attn_probs)


def flash_attn_kvpacked_func(q, kv, *args, **kwargs):
    """kv is (B, S, 2, H, D)."""
    return flash_attn_func(q, kv[:, :, 0], kv[:, :, 1], *args, **kwargs)


def flash_attn_qkvpacked_func(qkv, *args, **kwargs):
    """qkv is (B, S, 3, H, D)."""
    return flash_attn_func(*qkv.unbind(2), *args, **kwargs)


def flash_attn_varlen_func(q, k, v, cu_seqlens_q, cu_seqlens_k, max_seqlen_q=None,
                           max_seqlen_k=None, dropout_p=0.0, softmax_scale=None, causal=False,
                           window_size=(-1, -1), softcap=0.0, alibi_slopes=None,
                           deterministic=False, return_attn_probs=False, block_table=None):
    """Packed sequences, (total, H, D); cu_seqlens are their bounds. Reading them waits."""
    if block_table is not None:
        raise NotImplementedError("torch-trn's flash_attn has no paged keys (block_table)")
    parts = [attend(*part, dropout=dropout_p, scale=softmax_scale, causal=causal,
                    window=window_size, softcap=softcap,
                    slopes=alibi_slopes if alibi_slopes is None or alibi_slopes.dim() == 1
                    else alibi_slopes[i], want_lse=return_attn_probs)
             for i, part in enumerate(pieces((q, k, v), (cu_seqlens_q, cu_seqlens_k,
                                                         cu_seqlens_k)))]
    out = torch.cat([o[0] for o, _ in parts])
    lse = torch.cat([x[0] for _, x in parts], 1) if return_attn_probs else None
    return _finish(out, lse, return_attn_probs)


def flash_attn_varlen_kvpacked_func(q, kv, *args, **kwargs):
    """kv is (total, 2, H, D)."""
    return flash_attn_varlen_func(q, kv[:, 0], kv[:, 1], *args, **kwargs)


def flash_attn_varlen_qkvpacked_func(qkv, cu_seqlens, max_seqlen=None, *args, **kwargs):
    """qkv is (total, 3, H, D)."""
    return flash_attn_varlen_func(*qkv.unbind(1), cu_seqlens, cu_seqlens, max_seqlen, max_seqlen,
                                  *args, **kwargs)


def flash_attn_with_kvcache(q, k_cache, v_cache, k=None, v=None, rotary_cos=None, rotary_sin=None,
                            cache_seqlens=None, cache_batch_idx=None, block_table=None,
                            softmax_scale=None, causal=False, window_size=(-1, -1), softcap=0.0,
                            alibi_slopes=None, **kwargs):
    """Attention over caches (B, T, H, D) that hold cache_seqlens keys each; k and v are added.

    Reading the lengths waits. Rotation, cache indices and paged caches are refused.
    """
    if any(x is not None for x in (rotary_cos, rotary_sin, cache_batch_idx, block_table)):
        raise NotImplementedError("torch-trn's flash_attn_with_kvcache neither rotates nor pages")
    lengths = [k_cache.size(1)] * len(q) if cache_seqlens is None else (
        [cache_seqlens] * len(q) if isinstance(cache_seqlens, int) else cache_seqlens.tolist())
    outs = []
    for i, length in enumerate(lengths):
        if k is not None:
            k_cache[i, length:length + k.size(1)] = k[i]
            v_cache[i, length:length + v.size(1)] = v[i]
            length += k.size(1)
        outs.append(attend(q[i:i + 1], k_cache[i:i + 1, :length], v_cache[i:i + 1, :length],
                           scale=softmax_scale, causal=causal, window=window_size,
                           softcap=softcap, slopes=alibi_slopes)[0])
    return torch.cat(outs)
