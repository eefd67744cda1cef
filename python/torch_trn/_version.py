"""The one place that knows this package's version and the torch it is for."""

__version__ = "0.1.0"
TORCH_MINOR = "2.13"
