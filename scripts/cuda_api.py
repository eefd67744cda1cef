"""Writes docs/cuda-api.md from the table of CUDA's names; with --check only says if it is stale."""

from __future__ import annotations

import importlib.util
import pathlib
import sys
from collections import Counter

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "cuda-api.md"
TABLE = ROOT / "python" / "torch_trn" / "migration" / "cuda_api.py"

_HEAD = """# CUDA's names on trn

What each name does in a redirected program (`torch-trn run`, `import torch_trn.migrate`,
`TORCH_TRN_MIGRATE=1`). **same**: as on CUDA. **adapted**: answers for trn, as noted. **no-op**:
accepted, nothing to do here. **refused**: raises an error with the advice. Written by
`scripts/cuda_api.py` from the table that the layer, `torch-trn scan` and the receipt read
(`python/torch_trn/migration/cuda_api.py`).

"""


def load_table():
    """The table's module, without importing torch_trn."""
    spec = importlib.util.spec_from_file_location("cuda_api", TABLE)
    module = importlib.util.module_from_spec(spec)
    sys.modules["cuda_api"] = module
    spec.loader.exec_module(module)
    return module


def text() -> str:
    """The page."""
    rows = list(load_table().rows().values())
    marks = Counter(row.mark for row in rows)
    out = _HEAD + ", ".join(f"{count} {mark}" for mark, count in marks.items()) + ".\n"
    group = None
    for row in rows:
        prefix = row.name.rpartition(".")[0] or "environment"
        if prefix.startswith("torch.") and not prefix.startswith(("torch.cuda", "torch.backends")):
            prefix = "torch"
        elif prefix.startswith("package."):
            prefix = "package"
        if prefix != group:
            group = prefix
            out += f"\n## {group}\n\n| name | on trn | what happens |\n|---|---|---|\n"
        advice = f" Instead: {row.advice}." if row.advice else ""
        out += f"| `{row.name}` | {row.mark} | {row.what}{'.' if advice else ''}{advice} |\n"
    return out


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(0 if PAGE.read_text() == text() else f"{PAGE} is stale: run {__file__}")
    PAGE.write_text(text())
