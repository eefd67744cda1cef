"""torch-trn info: the devices, their kernels, versions and the environment."""

from __future__ import annotations

import os
import platform
from collections import Counter

import torch

from .. import _C, __version__, trn


def print_info() -> int:
    """Prints everything a bug report needs; 0, or 1 when there is no usable device."""
    print(f"torch-trn {__version__}, torch {torch.__version__}, Python "
          f"{platform.python_version()}, {platform.system()} {platform.machine()}")
    print(f"library: {os.path.dirname(_C.__file__)}")
    failed = 0
    for index in range(trn.device_count()):
        try:
            p = trn.get_device_properties(index)
        except RuntimeError as error:
            print(f"trn:{index}: {error}")
            failed = 1
            continue
        print(f"trn:{index}: {p.name}, driver {p.driver}, {p.total_memory / 2**30:.1f} GiB, "
              f"{p.multi_processor_count} threads, {p.isa}")
    if not trn.device_count():
        print("no device: TRN_DRIVER and TRN_DEVICES decide which there are")
        failed = 1
    by_isa = Counter(isa for _, _, isa in _C._kernels())
    families = {name for name, _, _ in _C._kernels()}
    print(f"kernels: {sum(by_isa.values())} of {len(families)} families ("
          + ", ".join(f"{isa} {count}" for isa, count in sorted(by_isa.items()))
          + f"); in use: up to {_C._active_isa()}")
    print("environment:")
    for name, value in _C._environment().items():
        given = os.environ.get(name)
        set_here = "default" if not given else "set" if given == str(value) else f"set to {given!r}"
        print(f"  {name}={value} ({set_here})")
    print(f"  TORCH_TRN_MIGRATE={os.environ.get('TORCH_TRN_MIGRATE', '')}")
    return failed
