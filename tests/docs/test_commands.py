"""Every program and command in docs/ runs as it stands there."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```(python|sh)\n(.*?)^```", re.M | re.S)


def blocks():
    for page in sorted((ROOT / "docs").glob("*.md")):
        for i, (language, text) in enumerate(BLOCK.findall(page.read_text())):
            yield pytest.param(language, text, id=f"{page.stem}-{i}-{language}")


@pytest.mark.parametrize("language, text", list(blocks()))
def test_block(language, text, installed_environment, tmp_path):
    command = {"python": ["python", "-c", text], "sh": ["sh", "-euc", text]}[language]
    result = subprocess.run(command, cwd=tmp_path, env=installed_environment, capture_output=True,
                            text=True, timeout=240)
    assert result.returncode == 0, result.stdout + result.stderr


def test_pages_link_to_pages():
    broken = []
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            if not (page.parent / target).exists():
                broken.append(f"{page.name}: {target}")
    assert not broken, "\n".join(broken)
