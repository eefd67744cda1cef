"""Writes docs/examples.md: every operator that the examples called on trn, native or not.

    python scripts/example_ops.py            write it
    python scripts/example_ops.py --check    exit with 1 unless it is what would be written
"""

import contextlib
import io
import runpy
import sys
from collections import Counter, defaultdict
from pathlib import Path

import torch
import torch_trn
from torch.utils._python_dispatch import TorchDispatchMode
from torch_trn.migration import scope

ROOT = Path(__file__).resolve().parents[1]
OUTPUT = ROOT / "docs" / "examples.md"
# Small runs: they call the operators of the long ones.
EXAMPLES = {
    "train_gpt.py": ["--steps", "3", "--layers", "1", "--heads", "4", "--width", "32",
                     "--context", "16", "--batch", "4", "--bytes", "50000", "--sample", "3",
                     "--eval-every", "2", "--dropout", "0.1"],
    "digits_cnn.py": ["--epochs", "13"],
    "bert_inference.py": [],
}


def on_trn(value) -> bool:
    if isinstance(value, torch.Tensor):
        return value.device.type in ("trn", "cuda")
    return isinstance(value, (list, tuple)) and any(on_trn(v) for v in value)


class Record(TorchDispatchMode):
    """Counts what is dispatched with a trn tensor in its arguments or results."""

    def __init__(self):
        super().__init__()
        self.calls = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if on_trn(args) or on_trn(list(kwargs.values())) or on_trn(result):
            self.calls[func.name()] += 1
        return result


def run(name: str, arguments: list[str]) -> Counter:
    record = Record()
    sys.argv = [name, *arguments]
    redirect = scope() if name.startswith("train") else contextlib.nullcontext()
    with redirect, record, contextlib.redirect_stdout(io.StringIO()):
        runpy.run_path(str(ROOT / "examples" / name), run_name="__main__")
    return record.calls


def table() -> str:
    torch.trn.set_fallback_mode("silent")
    torch.trn.reset_fallback_stats()
    used = defaultdict(list)
    for name, arguments in EXAMPLES.items():
        for op in run(name, arguments):
            used[op].append(name)
    fallen = torch.trn.fallback_report()
    lines = [
        "# Operators that the examples call", "",
        "Made by `python scripts/example_ops.py`. An operator is native unless it, or anything it",
        "is composed of, was counted as a CPU fallback.", "",
        f"{len(used)} operators, {len(fallen)} of them on the CPU.", "",
        "| operator | runs | called by |", "|---|---|---|",
    ]
    for op in sorted(used | dict.fromkeys(fallen, [])):
        where = "on the CPU" if op in fallen else "natively"
        lines.append(f"| `{op}` | {where} | {', '.join(used.get(op) or ['inside another'])} |")
    return "\n".join(lines) + "\n"


def own(text: str) -> set[str]:
    """The rows that do not depend on which version of transformers is installed."""
    rows = {line.replace(", bert_inference.py", "").replace("bert_inference.py", "")
            for line in text.splitlines() if line.startswith("| `")}
    return {row for row in rows if not row.endswith("|  |")}


def main() -> int:
    check = "--check" in sys.argv[1:]
    text = table()
    if check:
        changed = own(text) ^ own(OUTPUT.read_text() if OUTPUT.exists() else "")
        print("\n".join(sorted(changed)))
        return 1 if changed else 0
    OUTPUT.write_text(text)
    print(f"wrote {OUTPUT.relative_to(ROOT)}; torch-trn {torch_trn.__version__}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
