"""Data sets of generated images."""

from __future__ import annotations

import os

import numpy as np
import torch


def _at_most(size: int) -> int:
    return min(size, int(os.environ.get("STAND_IN_SAMPLES", size)))


class MNIST(torch.utils.data.Dataset):
    """Ten fixed patterns under noise, a tenth of them labelled wrongly; a tenth is for testing."""

    def __init__(self, root, train=True, transform=None, target_transform=None, download=False):
        patterns = np.random.default_rng(0).random((10, 7, 7)).repeat(4, 1).repeat(4, 2)
        draw = np.random.default_rng(1 if train else 2)
        count = _at_most(60000) if train else max(_at_most(100000) // 10, 10)
        labels = draw.integers(0, 10, count)
        images = (patterns[labels] > 0.6) * 75 + draw.random((count, 28, 28)) * 180
        self.data = torch.from_numpy(images.astype(np.uint8))
        wrong = draw.random(count) < 0.1
        self.targets = torch.from_numpy(np.where(wrong, draw.integers(0, 10, count), labels))
        self.transform, self.target_transform = transform, target_transform

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index):
        image, label = self.data[index].numpy()[:, :, None], int(self.targets[index])
        if self.transform is not None:
            image = self.transform(image)
        return image, self.target_transform(label) if self.target_transform else label


class FakeData(torch.utils.data.Dataset):
    """Noise, every image from its own seed."""

    def __init__(self, size=1000, image_size=(3, 224, 224), num_classes=10, transform=None,
                 target_transform=None, random_offset=0):
        self.size, self.image_size, self.num_classes = _at_most(size), image_size, num_classes
        self.transform, self.offset = transform, random_offset

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index):
        if index >= self.size:
            raise IndexError("no such image")
        draw = np.random.default_rng(int(index) + self.offset)
        colours, height, width = self.image_size
        image = draw.integers(0, 256, (height, width, colours), dtype=np.uint8)
        label = int(draw.integers(0, self.num_classes))
        return (self.transform(image) if self.transform else image), label
