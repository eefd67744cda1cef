"""What all Python tests share: proof that the device ran, and a clean fallback count."""

import os
import subprocess
import sys

import pytest
import torch
import torch_trn

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


@pytest.fixture
def ran():
    """Fails the test unless it queued at least one kernel."""
    before = torch.trn.launch_count()
    yield
    assert torch.trn.launch_count() > before, "no kernel was launched: the device did not run"


@pytest.fixture
def no_fallback():
    """Fails the test if anything falls back to the CPU in it."""
    torch.trn.reset_fallback_stats()
    yield
    assert torch.trn.fallback_report() == {}


@pytest.fixture
def compiles():
    """Skips the test where generated code has no way to device memory."""
    if "isolate" in os.environ.get("TRN_STRICT", ""):
        pytest.skip("TRN_STRICT=isolate and torch.compile exclude each other: docs/limits.md")


@pytest.fixture
def python(tmp_path):
    """Runs a piece of Python in a new process and returns it finished.

    python("print(1)", env={...}, args=[...]); the package under test is importable there.
    """

    def run(code, env=None, args=(), timeout=240):
        script = tmp_path / "program.py"
        script.write_text(code)
        package = os.path.dirname(os.path.dirname(torch_trn.__file__))
        path = os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH")])])
        return subprocess.run(
            [sys.executable, *args, str(script)], capture_output=True, text=True, timeout=timeout,
            env={**os.environ, "PYTHONPATH": path, **(env or {})}, cwd=tmp_path,
        )

    return run


@pytest.fixture(scope="session")
def installed_environment(tmp_path_factory):
    """As after an installation: the two commands, and the entry point that loads us with torch."""
    folder = tmp_path_factory.mktemp("installed")
    for name, run in (("python", ""), ("torch-trn", "-m torch_trn")):
        (folder / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {run} "$@"\n')
        (folder / name).chmod(0o755)
    info = folder / "torch_trn-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: torch-trn\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text("[torch.backends]\ntrn = torch_trn_autoload:load\n")
    package = os.path.dirname(os.path.dirname(torch_trn.__file__))
    paths = [package, str(folder), os.environ.get("PYTHONPATH")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            "PATH": f"{folder}:{os.environ['PATH']}"}
