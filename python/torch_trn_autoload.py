"""What `import torch` calls of torch-trn (entry point group torch.backends).

It stands outside the package so that neither import order is circular, and it never raises: a
failure here would make `import torch` fail for everyone in the environment.
"""

import sys
import warnings


def load() -> None:
    """Imports torch_trn, which registers the device; on failure warns in one sentence."""
    if "torch_trn" in sys.modules:
        return  # it is importing torch right now, and goes on by itself
    try:
        import torch_trn  # noqa: F401
    except Exception as error:
        reason = " ".join(str(error).split())
        warnings.warn(
            f"torch-trn could not be loaded, so there is no device 'trn': {reason} "
            "(torch itself is fine; `python -c 'import torch_trn'` shows where it failed)",
            stacklevel=2,
        )
