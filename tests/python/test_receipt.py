"""Where the receipt of a run is written, and what it is measured against."""

import json
import signal

import pytest


def test_it_lands_where_it_was_asked_for(torch_trn_command, script, tmp_path):
    path = script("import os\nos.mkdir('other')\nos.chdir('other')\n")
    for _ in range(2):  # the second replaces the first
        (tmp_path / "other").is_dir() and (tmp_path / "other").rmdir()
        result = torch_trn_command("run", "--receipt", "out.html", path)
        assert result.returncode == 0, result.stderr
    assert json.loads((tmp_path / "out.json").read_text())["exit_code"] == 0
    assert "torch-trn receipt" in (tmp_path / "out.html").read_text()


@pytest.mark.parametrize("name, words", [
    ("folder", "folder is not a file"), ("no/such/out.html", "out.json cannot be written"),
    ("conf.html", "conf.json is there and is not a receipt"),
    ("conf.json", "conf.json is there and is not a receipt"),
    ("user.py", "user.py is there and is not a receipt")])
def test_a_receipt_that_cannot_be_written(torch_trn_command, script, tmp_path, name, words):
    path = script("print('ran')\n")
    (tmp_path / "folder").mkdir()
    (tmp_path / "conf.json").write_text('{"lr": 1}')
    result = torch_trn_command("run", "--receipt", name, path)
    assert result.returncode == 2 and words in result.stderr and "ran" not in result.stdout
    assert len(result.stderr.splitlines()) == 1
    assert (tmp_path / "conf.json").read_text() == '{"lr": 1}'
    assert not (tmp_path / "user.json").exists()


@pytest.mark.parametrize("budget", ["fallbacks=", "fallbacks=nan", "", "fallbacks", "speed=1"])
def test_a_budget_that_is_none(torch_trn_command, script, budget):
    result = torch_trn_command("run", "--budget", budget, script("print('ran')\n"))
    assert result.returncode == 2 and "--budget" in result.stderr and "ran" not in result.stdout


def test_it_says_what_a_line_calls(torch_trn_command, script, tmp_path):
    path = script('import torch\nfrom torch import randn\nx = torch.zeros(3, device="cuda")\n'
                  'y = len([randn(3, device="cuda"), torch.ones(2).cuda()])\n'
                  'm = torch.nn.Linear(\n    2,\n    2, device="cuda")\nz = x.new_empty(3)\n'
                  'd = torch.device("cuda")\n')
    result = torch_trn_command("run", "--receipt", "out.json", path)
    assert result.returncode == 0, result.stderr
    rows = json.loads((tmp_path / "out.json").read_text())["redirected"]
    said = {(int(row["site"].rpartition(":")[2]), row["called"]) for row in rows
            if row["name"].startswith("aten::")}
    assert {(3, "torch.zeros"), (4, "randn"), (5, "torch.nn.Linear")} == said
    assert all(row["called"] == "" for row in rows if row["name"] == "torch.device")
    assert "py:3  torch.zeros\n" in result.stderr


@pytest.mark.parametrize("own", [False, True])
def test_a_program_that_is_terminated(torch_trn_command, script, tmp_path, own):
    handler = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))\n" if own else ""
    path = script(f"import os, signal, sys, time\nimport torch\n{handler}"
                  "x = torch.zeros(3, device='cuda')\n"
                  "if os.fork() == 0:\n    os.kill(os.getpid(), signal.SIGTERM)\n"
                  "    time.sleep(60)\n"
                  "assert own or os.WTERMSIG(os.wait()[1]) == signal.SIGTERM\n"
                  "try:\n    os.kill(os.getpid(), signal.SIGTERM)\n    time.sleep(60)\n"
                  "except Exception:\n    print('caught')\n".replace("own", str(own)))
    result = torch_trn_command("run", "--receipt", "out.json", path)
    assert result.returncode == (5 if own else -signal.SIGTERM), result.stderr
    made = json.loads((tmp_path / "out.json").read_text())
    assert made["exit_code"] == (5 if own else 143) and "caught" not in result.stdout
    assert result.stderr.count("torch-trn receipt") == 1
    assert any(row["called"] == "torch.zeros" for row in made["redirected"])
