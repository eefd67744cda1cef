"""apex.normalization.fused_layer_norm: the norms as functions, over torch.nn.functional."""

from apex.normalization import (  # noqa: F401
    FusedLayerNorm,
    FusedRMSNorm,
    MixedFusedLayerNorm,
    MixedFusedRMSNorm,
)
from torch.nn import functional


def fused_layer_norm_affine(input, weight, bias, normalized_shape, eps=1e-6,
                            memory_efficient=False):
    """torch.nn.functional.layer_norm with apex's arguments; any shape, the input's type."""
    return functional.layer_norm(input, _shape(normalized_shape), weight, bias, eps)


def fused_layer_norm(input, normalized_shape, eps=1e-6, memory_efficient=False):
    """The same without weight and bias."""
    return functional.layer_norm(input, _shape(normalized_shape), eps=eps)


def fused_rms_norm_affine(input, weight, normalized_shape, eps=1e-6, memory_efficient=False):
    """torch.nn.functional.rms_norm with apex's arguments; any shape, the input's type."""
    return functional.rms_norm(input, _shape(normalized_shape), weight, eps)


def fused_rms_norm(input, normalized_shape, eps=1e-6, memory_efficient=False):
    """The same without weight."""
    return functional.rms_norm(input, _shape(normalized_shape), eps=eps)


def _shape(sizes) -> tuple[int, ...]:
    return (sizes,) if isinstance(sizes, int) else tuple(sizes)
