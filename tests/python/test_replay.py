"""TRN_VERBOSE=exec prints a line a launch, and torch-trn replay runs it again."""

import subprocess
import sys

import torch
from torch_trn import _C
from torch_trn.cli.main import main
from torch_trn.cli.replay import replay_lines

PROGRAM = """
import torch, torch_trn
x = torch.randn(64, 32, device="trn")
y = (x.t() @ x).softmax(-1)
z = torch.nn.functional.embedding(torch.tensor([1, 2], device="trn"), x)
w = (x * 2.5 + torch.arange(32, device="trn"))[:, ::2].sum(0)
"""


def test_a_log_can_be_run_again(python, tmp_path):
    result = python(PROGRAM, env={"TRN_VERBOSE": "exec"})
    lines = [line for line in result.stderr.splitlines() if line.startswith("trn,exec,")]
    assert len(lines) >= 6, result.stderr
    before = torch.trn.launch_count()
    rows = replay_lines(lines, times=2)
    assert torch.trn.launch_count() == before + 2 * len(rows)
    assert {row[0] for row in rows} == set(lines) and all(row[2] > 0 for row in rows)
    log = tmp_path / "log.txt"
    log.write_text(result.stderr)
    done = subprocess.run([sys.executable, "-m", "torch_trn", "replay", str(log)],
                          capture_output=True, text=True, timeout=240)
    assert done.returncode == 0 and "softmax" in done.stdout, done.stdout + done.stderr


def test_what_is_no_launch(capsys, tmp_path):
    for line, why in (("exec,no_such_kernel_f32_portable,2:f32,ints=,reals=,work=2;1", "no kernel"),
                      ("exec,nonsense", "not a line")):
        try:
            _C._replay(line, 1)
        except ValueError as error:
            assert why in str(error)
        else:
            raise AssertionError(line)
    (tmp_path / "empty").write_bytes(b"hello\n\xff\xfe\0\n")
    done = subprocess.run([sys.executable, "-m", "torch_trn", "replay", str(tmp_path / "empty")],
                          capture_output=True, text=True, timeout=240)
    assert done.returncode == 2 and "no launch" in done.stderr


def test_a_launch_that_is_too_large(python, tmp_path, capsys):
    launch = next(line for line in python(PROGRAM, env={"TRN_VERBOSE": "exec"}).stderr.splitlines()
                  if line.startswith("trn,exec,softmax"))
    (tmp_path / "log.txt").write_text(launch.replace("32x32", "999999999x999"))
    assert main(["replay", str(tmp_path / "log.txt")]) == 2
    said, = capsys.readouterr().err.splitlines()
    assert said.startswith("torch-trn replay:")
