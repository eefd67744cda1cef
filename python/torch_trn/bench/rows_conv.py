"""Rows of convolutions: forward, gradient of the image and of the weight, in both layouts."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F

from .row import Row, backward, rand

# name, function, image, weight, keyword arguments
_FULL = (
    ("3x3 64", F.conv2d, (8, 64, 56, 56), (64, 64, 3, 3), {"padding": 1}),
    ("3x3 256", F.conv2d, (8, 256, 14, 14), (256, 256, 3, 3), {"padding": 1}),
    ("1x1 256->64", F.conv2d, (8, 256, 56, 56), (64, 256, 1, 1), {}),
    ("7x7 stride 2", F.conv2d, (8, 3, 224, 224), (64, 3, 7, 7), {"padding": 3, "stride": 2}),
    ("depthwise 3x3", F.conv2d, (8, 128, 56, 56), (128, 1, 3, 3), {"padding": 1, "groups": 128}),
    ("transposed 4x4 stride 2", F.conv_transpose2d, (8, 128, 28, 28), (128, 64, 4, 4),
     {"padding": 1, "stride": 2}),
    ("1-D 5", F.conv1d, (8, 128, 2048), (128, 128, 5), {"padding": 2}),
    ("3-D 3", F.conv3d, (2, 32, 16, 56, 56), (32, 32, 3, 3, 3), {"padding": 1}),
)
_TINY = (
    ("3x3", F.conv2d, (1, 4, 6, 6), (4, 4, 3, 3), {"padding": 1}),
    ("transposed", F.conv_transpose2d, (1, 4, 5, 5), (4, 4, 4, 4), {"stride": 2}),
    ("1-D", F.conv1d, (1, 4, 16), (4, 4, 3), {}),
)


def _flops(function, image, weight, options) -> float:
    # Every product of the result's (or, transposed, the image's) positions with the taps.
    with torch.device("meta"):
        out = function(torch.empty(image), torch.empty(weight), **options)
    taps = torch.Size(weight[2:]).numel()
    transposed = function is F.conv_transpose2d
    positions = torch.Size(image).numel() if transposed else out.numel()
    return 2.0 * positions * weight[1] * taps


def rows(tiny: bool) -> Iterator[Row]:
    """All rows of convolutions; small ones for tests."""
    for name, function, image, weight, options in _TINY if tiny else _FULL:
        flops = _flops(function, image, weight, options)
        for last in (False, True) if len(image) == 4 else (False,):
            for kind in ("forward", "grad image", "grad weight"):
                def make(device, *, kind=kind, last=last, function=function, image=image,
                         weight=weight, options=options):
                    x, w = rand(device, *image), rand(device, *weight)
                    if last:
                        x = x.to(memory_format=torch.channels_last)
                        w = w.to(memory_format=torch.channels_last)
                    if kind == "forward":
                        return lambda: function(x, w, **options)
                    x.requires_grad_()
                    w.requires_grad_()
                    return backward(function(x, w, **options), [x if kind == "grad image" else w])

                layout = "channels_last" if last else "NCHW" if len(image) == 4 else ""
                yield Row("convolution", " ".join(f"{name} {layout} {kind}".split()), 1.3, make,
                          flops)
