"""``torch.trn``: the twin of ``torch.cuda``, name for name."""

from torch import AcceleratorError as AcceleratorError
from torch import OutOfMemoryError as OutOfMemoryError

from ..inductor import GENERATORS as _GENERATORS
from ..inductor import generator as _generator
from . import _utils as _utils
from . import amp as amp
from . import graphs as graphs
from . import legacy as legacy
from . import memory as memory
from . import mempool as mempool
from . import nvtx as nvtx
from . import profiler as profiler
from . import random as random
from . import report as report
from . import sparse as sparse
from . import streams as streams
from ._device import *  # noqa: F403
from ._device import _device_t as _device_t
from ._device import _is_in_bad_fork as _is_in_bad_fork
from ._device import _lazy_call as _lazy_call
from ._device import _lazy_init as _lazy_init
from ._device import _sleep as _sleep
from ._device import is_initialized as is_initialized
from .graphs import *  # noqa: F403
from .memory import *  # noqa: F403
from .memory import _dump_snapshot as _dump_snapshot
from .memory import _record_memory_history as _record_memory_history
from .memory import _snapshot as _snapshot
from .mempool import *  # noqa: F403
from .random import *  # noqa: F403
from .random import _get_generator as _get_generator
from .report import fallback_report as fallback_report
from .report import reset_fallback_stats as reset_fallback_stats
from .report import set_fallback_mode as set_fallback_mode
from .streams import *  # noqa: F403
from .streams import _set_stream_by_id as _set_stream_by_id

has_half = True
has_magma = False


def __getattr__(name: str):
    # Generators belong to devices: made when first asked for, as the devices are.
    if name == "default_generators":
        return random.default_generators()
    if name in _GENERATORS:
        return _generator(name)
    if name in legacy.NAMES:
        return legacy.NAMES[name]
    if name == "_initialized":  # torch.utils.checkpoint keeps generators' states if so
        return is_initialized()
    raise AttributeError(f"module 'torch.trn' has no attribute '{name}'")
