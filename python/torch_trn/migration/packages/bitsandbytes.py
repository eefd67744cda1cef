"""bitsandbytes: its optimizers; its quantized layers are refused."""

from bitsandbytes import nn, optim

__version__ = "0.48.1"
__all__ = ["nn", "optim"]
