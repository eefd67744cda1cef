"""What Inductor's caches know of trn: code made by another build of this package is not taken.

Generated code holds what this package decided (layouts, launches), and a cache outlives an upgrade.
Inductor hashes the values of this module with each graph.
"""

import hashlib
import pathlib
import sys

from torch.utils._config_module import install_config_module

from .. import _C
from .._version import __version__


def _built() -> str:
    here = pathlib.Path(__file__).parent
    digest = hashlib.sha256(__version__.encode())
    for source in sorted(here.glob("*.py")):
        digest.update(source.read_bytes())
    module = pathlib.Path(_C.__file__)
    for library in (module, module.parent / "lib" / "libtorch_trn.so"):
        found = library.stat()
        digest.update(f"{found.st_size} {found.st_mtime_ns}".encode())
    return digest.hexdigest()


built: str = _built()

install_config_module(sys.modules[__name__])


def register() -> None:
    """Gives this module to Inductor, beside the code generators of the device."""
    from torch._inductor.codegen import common

    common.init_backend_registration()
    common.custom_backend_codegen_configs["trn"] = sys.modules[__name__]
