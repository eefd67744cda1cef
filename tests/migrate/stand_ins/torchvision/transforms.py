"""Transformations of images that need no imaging library."""

from __future__ import annotations

import torch


class Compose:
    def __init__(self, transforms):
        self.transforms = transforms

    def __call__(self, image):
        for transform in self.transforms:
            image = transform(image)
        return image


class ToTensor:
    """Bytes, height by width by colours, to floats from 0 to 1, colours first."""

    def __call__(self, image):
        return torch.from_numpy(image).permute(2, 0, 1).contiguous().float() / 255


class Normalize:
    def __init__(self, mean, std):
        self.mean, self.std = (torch.tensor(x).view(-1, 1, 1) for x in (mean, std))

    def __call__(self, image):
        return (image - self.mean) / self.std


class Lambda:
    def __init__(self, function):
        self.function = function

    def __call__(self, image):
        return self.function(image)


class Resize:
    """The nearest pixels of an image of bytes; the shorter side gets ``size``."""

    def __init__(self, size):
        self.size = size

    def __call__(self, image):
        short = min(image.shape[:2])
        rows, columns = (torch.arange(side * self.size // short) * short // self.size
                         for side in image.shape[:2])
        return image[rows.numpy()][:, columns.numpy()]
