"""What of PyTorch runs on trn: operators by overload and type, and models by their trace."""

from .registry import STATUSES as STATUSES
from .registry import op_status as op_status
from .registry import registered as registered
