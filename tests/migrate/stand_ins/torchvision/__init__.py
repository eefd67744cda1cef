"""The few names of torchvision that PyTorch's own examples use, for tests: there is no CPU build.

Images are arrays of bytes, height by width by colours, made from a fixed seed; nothing is
downloaded. STAND_IN_SAMPLES limits how many samples a data set has.
"""

from . import datasets, models, transforms, utils

__all__ = ["datasets", "models", "transforms", "utils"]
