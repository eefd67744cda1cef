"""torch-trn: the PyTorch device ``trn``.

Importing it registers the device and the module ``torch.trn``, the twin of ``torch.cuda``. After
``pip install`` a plain ``import torch`` does that by itself. Nothing of CUDA is touched; see
``torch_trn.migration`` for that.
"""

import os as _os

import torch as _torch

from ._version import TORCH_MINOR as _TORCH_MINOR
from ._version import __version__ as __version__

if not _torch.__version__.startswith(_TORCH_MINOR + "."):
    raise ImportError(
        f"torch-trn {__version__} was built for torch {_TORCH_MINOR} and cannot work with torch "
        f"{_torch.__version__}: install torch=={_TORCH_MINOR}.*, or a torch-trn for that version."
    )

try:
    from . import _C as _C
except ImportError as _error:
    raise ImportError(
        f"torch-trn's library cannot be loaded ({_error}): it is missing, broken, or was built "
        "against another torch. Install it again: pip install --no-build-isolation -e ."
    ) from _error

#: Give this to CMake's CMAKE_PREFIX_PATH: find_package(TorchTrn) makes torch_trn::torch_trn.
cmake_prefix_path = _os.path.join(_os.path.dirname(__file__), "share", "cmake")


def _register() -> None:
    import atexit
    import contextlib

    import typing_extensions

    # A line of the last two says nothing: torch's decorators stand there for a program's line.
    _C._set_internal_folders([
        _os.path.dirname(_torch.__file__) + _os.sep, _os.path.dirname(__file__) + _os.sep,
        contextlib.__file__, typing_extensions.__file__,
    ])
    _torch.utils.rename_privateuse1_backend("trn")
    from . import inductor, trn

    _torch._register_device_module("trn", trn)
    _torch.utils.generate_methods_for_privateuse1_backend(for_storage=True)
    trn.legacy.register()
    inductor.register_when_imported()
    _C._register_fork_handler()

    from . import at_exit, distributed, multiprocessing

    atexit.register(at_exit.synchronise)

    distributed.register()
    multiprocessing.register()


_register()
from . import migration as migration  # noqa: E402
from .coverage import op_status as op_status  # noqa: E402

if _os.environ.get("TORCH_TRN_MIGRATE", "0") not in ("", "0"):
    migration.activate()
if "TORCH_TRN_ACCOUNTS" in _os.environ:
    from .cli import accounts as _accounts

    _accounts.open_account(_os.environ["TORCH_TRN_ACCOUNTS"])
