"""Every program and command in docs/ runs as it stands there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch_trn

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```(python|sh)\n(.*?)^```", re.M | re.S)


def blocks():
    for page in sorted((ROOT / "docs").glob("*.md")):
        for i, (language, text) in enumerate(BLOCK.findall(page.read_text())):
            yield pytest.param(language, text, id=f"{page.stem}-{i}-{language}")


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
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


@pytest.mark.parametrize("language, text", list(blocks()))
def test_block(language, text, environment, tmp_path):
    command = {"python": ["python", "-c", text], "sh": ["sh", "-euc", text]}[language]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True,
                            text=True, timeout=240)
    assert result.returncode == 0, result.stdout + result.stderr


def test_pages_link_to_pages():
    broken = []
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            if not (page.parent / target).exists():
                broken.append(f"{page.name}: {target}")
    assert not broken, "\n".join(broken)
