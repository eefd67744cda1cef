"""Running unmodified CUDA programs on trn.

``with torch_trn.migration.scope():`` redirects CUDA inside and takes everything back after it;
``activate()`` does it for the rest of the process, as do ``import torch_trn.migrate``, the
environment variable ``TORCH_TRN_MIGRATE=1`` and ``torch-trn run``.

Tensors are redirected by PyTorch's dispatcher (csrc/ops/migrate.cpp); what cannot be reached
there, the functions of ``torch.cuda`` above all, by the one table in ``table.py``.
"""

from .scope import activate as activate
from .scope import deactivate as deactivate
from .scope import is_active as is_active
from .scope import redirections as redirections
from .scope import scope as scope
