"""The linters read the source tree only."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = {".cpp", ".h", ".def", ".py", ".sh", ".md"}


def tracked() -> list[Path]:
    """Files of the repository; in an unpacked sdist, all files."""
    try:
        listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True,
                                check=True).stdout.splitlines()
        return [ROOT / name for name in listed if (ROOT / name).exists()]
    except (OSError, subprocess.CalledProcessError):
        folders = ("kernels", "csrc", "python", "tests", "examples", "docs", "cmake", "scripts")
        return [p for f in folders for p in (ROOT / f).rglob("*") if p.is_file()]


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def sources() -> list[Path]:
    return [p for p in tracked() if p.suffix in SOURCE]
