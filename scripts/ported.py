"""Runs public CUDA programs, unmodified, on trn and on the CPU, and writes docs/ported.md.

python scripts/ported.py FOLDER [--only WORD,... [--update]]

FOLDER/nanoGPT, FOLDER/minGPT and FOLDER/examples are clones; one that is not there is cloned at its
pinned commit where the network allows, else its programs are listed as skipped, with the reason.
The numbers that both runs print have to agree. --only runs those whose row holds a WORD and prints
their rows; with --update they take their places in the page, else it is left as it is.
"""

from __future__ import annotations

import argparse
import array
import json
import os
import pathlib
import pydoc_data.topics
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field

from ported_programs import OWN, PROGRAMS, SOURCES, Program

ROOT = pathlib.Path(__file__).resolve().parent.parent
STAND_INS = ROOT / "tests" / "migrate" / "stand_ins"
LIMIT = 900  # seconds a run may take


@dataclass
class Run:
    """What a run printed; figures of its receipt where there is one."""

    code: int
    seconds: float
    output: str
    found: list[str]
    receipt: dict = field(default_factory=dict)

    @property
    def fell_back(self) -> str:
        """The operators that ran on the CPU, and how often."""
        fell = {entry["operator"]: entry["calls"] for entry in self.receipt.get("fallbacks", [])}
        return "; fell back: " + (", ".join(f"{o} {n} times" for o, n in fell.items())
                                  or "nothing")


def clone(name: str, folder: pathlib.Path) -> pathlib.Path | None:
    """The source's clone in the folder, made if need be; None where it cannot be had."""
    there = folder / name
    address, commit = SOURCES[name]
    if not there.exists():
        commands = (["git", "clone", "--quiet", address, str(there)],
                    ["git", "-C", str(there), "checkout", "--quiet", commit])
        for command in commands:
            if subprocess.run(command, capture_output=True).returncode:
                return None
    return there


def add_data(work: pathlib.Path, name: str) -> None:
    """The texts that programs would download: Python's own documentation stands for them."""
    text = "\n".join(pydoc_data.topics.topics.values()).encode("ascii", "ignore").decode()
    if name == "nanoGPT":
        (work / "data/shakespeare_char/input.txt").write_text(text[:200_000])
        subprocess.run([sys.executable, "data/shakespeare_char/prepare.py"], cwd=work, check=True,
                       capture_output=True, env={**os.environ, "PYTHONPATH": str(STAND_INS)})
    elif name == "minGPT":
        (work / "input.txt").write_text(text[:200_000])
    elif name == "modded-nanogpt":
        for part, tokens in (("train", text[:40_000]), ("val", text[40_000:80_000])):
            header = array.array("i", [20240520, 1, len(tokens)] + [0] * 253)
            words = array.array("H", list(tokens.encode("ascii")))
            (work / f"{part}.bin").write_bytes(header.tobytes() + words.tobytes())
    elif name == "examples":
        (work / "vae/results").mkdir(exist_ok=True)
        words = work / "word_language_model/data/wikitext-2"
        for part, (first, last) in {"train": (0, 60_000), "valid": (60_000, 70_000),
                                    "test": (70_000, 80_000)}.items():
            (words / f"{part}.txt").write_text(text[first:last])


def command_of(program: Program, cpu: bool) -> list[str]:
    """The words after "python" or "torch-trn run"."""
    words = program.command.split()
    if cpu:
        taken = program.on_cpu[1:] if program.on_cpu[:1] == ("-",) else ()
        return [w for w in words if w not in taken] + [] if taken else words + list(program.on_cpu)
    if program.processes > 1:
        return ["-m", "torch.distributed.run", "--standalone",
                f"--nproc_per_node={program.processes}", *words]
    return words


def _as_installed(folder: pathlib.Path) -> str:
    """A folder whose metadata load trn with torch, in child processes too, as an installation's."""
    info = folder / "torch_trn-0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: torch-trn\nVersion: 0\n")
    (info / "entry_points.txt").write_text("[torch.backends]\ntrn = torch_trn_autoload:load\n")
    return str(folder)


def run(program: Program, folder: pathlib.Path, source: pathlib.Path, cpu: bool,
        compare: bool = False) -> Run:
    """Runs it once: on trn, on the CPU, or on trn with each operator compared with the CPU's."""
    with tempfile.TemporaryDirectory() as kept:
        receipt = pathlib.Path(kept) / "receipt.html"
        start = [sys.executable]
        if compare:
            start += ["-m", "torch_trn", "compare"]
        elif not cpu:
            start += ["-m", "torch_trn", "run", "--receipt", str(receipt)]
        elif program.cpu_start:
            start += ["-c", f"{program.cpu_start}; import runpy, sys; sys.argv.pop(0); "
                            "runpy.run_path(sys.argv[0], run_name='__main__')"]
        paths = [str(ROOT / "python"), _as_installed(pathlib.Path(kept)), str(source)]
        if program.source != OWN:  # public libraries need what the stand-ins stand for, or nothing
            paths.append(str(STAND_INS))
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "HF_HUB_OFFLINE": "1",
               "OMP_NUM_THREADS": "1", "STAND_IN_SAMPLES": str(program.samples),
               "PYTHONWARNINGS": "ignore", **program.env}
        if cpu:
            env["TORCH_DEVICE_BACKEND_AUTOLOAD"] = "0"
        began = time.perf_counter()
        try:
            done = subprocess.run([*start, *command_of(program, cpu)], cwd=folder, env=env,
                                  capture_output=True, text=True, timeout=LIMIT)
            code, out, err = done.returncode, done.stdout, done.stderr
        except subprocess.TimeoutExpired:
            code, out, err = -1, "", f"longer than {LIMIT} s"
        took = time.perf_counter() - began
        written = receipt.with_suffix(".json")
        figures = json.loads(written.read_text()) if written.exists() else {}
    return Run(code, took, out + err, re.findall(program.losses, out, re.M), figures)


def _gap(ours: str, cpus: str) -> float:
    try:
        a, b = float(ours), float(cpus)
    except ValueError:
        return 0.0 if ours == cpus else float("inf")
    return abs(a - b) / max(abs(b), 1e-3) if a == a else float("inf")


def verdict(program: Program, trn: Run, cpu: Run, compared: Run | None = None) -> str:
    """What the runs together show, in words."""
    if trn.code or cpu.code or not cpu.found or len(trn.found) != len(cpu.found):
        last = (trn if trn.code or len(trn.found) != len(cpu.found) else cpu).output.strip()
        return f"FAILS: exit code {trn.code}, on the CPU {cpu.code}; {len(trn.found)} numbers, " \
               f"on the CPU {len(cpu.found)}: {last[-160:]!r}"
    if compared:
        checked = re.search(r"([\d,]+) of ([\d,]+) operator calls checked; none", compared.output)
        words = f"agrees: {checked[1]} of {checked[2]} operator calls compared with the CPU's" \
            if checked and not compared.code else "DIFFERS: " + compared.output.strip()[-160:]
    else:
        gap = max(_gap(a, b) for a, b in zip(trn.found, cpu.found))
        words = f"{'agrees' if gap <= program.tolerance else 'DIFFERS'}: {len(cpu.found)} " \
                f"numbers, greatest difference {gap:.1e}"
    if program.why:
        words += f" ({program.why})"
    return words + trn.fell_back


def verdict_alone(trn: Run) -> str:
    """What a run shows that there is no CPU's run for."""
    if trn.code or not trn.receipt.get("launches"):
        return f"FAILS: exit code {trn.code}: {trn.output.strip()[-160:]!r}"
    made = f"{trn.receipt['launches']:,} kernels, processes: {trn.receipt['processes']}"
    return f"runs: {made} (it asks for GPUs: no CPU's run to compare with){trn.fell_back}"


class Sources:
    """Working copies of the public sources, made when first asked for."""

    def __init__(self, folder: pathlib.Path, work: pathlib.Path):
        self.folder, self.work = folder, work
        self.copies: dict[str, pathlib.Path | None] = {OWN: ROOT / OWN}

    def copy(self, name: str) -> pathlib.Path | None:
        """Where the source is, with its data; None where it cannot be had."""
        if name not in self.copies:
            there = clone(name, self.folder)
            self.copies[name] = there and self.work / name
            if there:
                shutil.copytree(there, self.work / name, ignore=shutil.ignore_patterns(".git"))
                add_data(self.work / name, name)
        return self.copies[name]


def row(program: Program, sources: Sources) -> str:
    """One line of the table."""
    head = head_of(program)
    source = sources.copy(program.source)
    missing = [name for name in program.needs if not _installed(name)]
    if source is None or missing:
        why = f"not installed: {', '.join(missing)}" if source else "no source here, none to be had"
        return head + f"skipped: {why} | - | {program.exercises} |"
    if program.gpu_only:
        alone = run(program, source / program.folder, source, False)
        return head + f"{verdict_alone(alone)} | - | {program.exercises} |"
    trn, cpu = (run(program, source / program.folder, source, on_cpu) for on_cpu in (False, True))
    compared = run(program, source / program.folder, source, False, compare=True) \
        if program.operators else None
    return head + f"{verdict(program, trn, cpu, compared)} | {trn.seconds / cpu.seconds:.2f} | " \
                  f"{program.exercises} |"


def _installed(module: str) -> bool:
    return subprocess.run([sys.executable, "-c", f"import {module}"],
                          capture_output=True).returncode == 0


_PAGE = """# Public programs, unmodified, on trn

Each runs under `torch-trn run` and on the CPU, with the same seed; the numbers that it prints,
losses mostly, have to agree within 2 %, or within more where the row says why. Time is the whole
process, start-up included, against the CPU's, both with one thread: the runs are short, so it is
mostly overhead. Data that a program would download is generated, and torchvision, which has no CPU
build for this PyTorch, is a stand-in (`tests/migrate/stand_ins`). Written by `scripts/ported.py`.

| program | commit | command | result | time against CPU | exercises |
|---|---|---|---|--:|---|
"""


def head_of(program: Program) -> str:
    """How a program's row begins: where it is from and how it is called."""
    commit = SOURCES[program.source][1][:10] if program.source in SOURCES else "this"
    name = f"| {program.source}/{program.folder} ".replace("/. ", " ")
    return f"{name}| {commit} | `{program.command}` | "


def main() -> None:
    """Runs all, or those asked for, and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--update", action="store_true")
    options = parser.parse_args()
    page = ROOT / "docs" / "ported.md"
    kept = page.read_text().splitlines() if options.only else []
    table = []
    with tempfile.TemporaryDirectory() as work:
        sources = Sources(options.folder.resolve(), pathlib.Path(work))
        for program in PROGRAMS:
            if any(word in head_of(program) for word in options.only.split(",")):
                table.append(row(program, sources))
                print(table[-1], flush=True)
            else:
                table += [line for line in kept if line.startswith(head_of(program))]
    if options.update or not options.only:
        page.write_text(_PAGE + "\n".join(table) + "\n")


if __name__ == "__main__":
    main()
