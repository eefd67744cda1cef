"""The script that watches memory over many steps runs, and notices what stays."""

import runpy
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "endurance.py"


def test_memory_stays_what_it_was():
    done = subprocess.run([sys.executable, SCRIPT, "400"], capture_output=True, text=True,
                          timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(done.stdout.splitlines()) == 10


def test_a_leak_is_noticed(monkeypatch, capsys):
    main = runpy.run_path(str(SCRIPT))["main"]
    grown = iter(range(10))
    monkeypatch.setitem(main.__globals__, "resident", lambda: (100 + next(grown)) << 20)
    assert main(20) == 1
    assert "resident   109.0 MiB" in capsys.readouterr().out
