"""The receipt of a run that is more than one process counts all of them."""

import json

import pytest

PROGRAM = '''
import subprocess, sys
import torch
import torch.multiprocessing as mp

def work(rank):
    x = torch.eye(3, device="cuda") + rank
    torch.linalg.eigvals(x)  # falls back, once a process

if __name__ == "__main__":
    way = sys.argv[1]
    if way == "subprocess":
        subprocess.run([sys.executable, __file__, "alone"], check=True)
    elif way == "killed":
        code = "import torch, os; torch.ones(3).cuda(); os.kill(os.getpid(), 9)"
        subprocess.run([sys.executable, "-c", code])
    elif way == "quits":
        code = "import torch, os; torch.linalg.eigvals(torch.eye(3).cuda()); os._exit(0)"
        subprocess.run([sys.executable, "-c", code], check=True)
    elif way == "alone":
        work(0)
    elif way == "loader":
        data = torch.utils.data.DataLoader(torch.arange(8.0), batch_size=2, num_workers=2)
        print(sum(x.cuda().sum().item() for x in data))
        work(0)
    else:
        many = [mp.get_context(way).Process(target=work, args=(i,)) for i in range(2)]
        for one in many:
            one.start()
        for one in many:
            one.join()
            assert one.exitcode == 0
'''


@pytest.fixture
def receipt_of(tmp_path, python, installed_environment):
    def run(way, *options, code=0):
        program = tmp_path / "user.py"
        program.write_text(PROGRAM)
        out = tmp_path / "out.html"
        command = ["run", "--receipt", str(out), *options, str(program), way]
        result = python("import sys\nfrom torch_trn.cli.main import main\n"
                        f"sys.exit(main({command!r}))\n", env=installed_environment)
        assert result.returncode == code, result.stderr
        return json.loads((tmp_path / "out.json").read_text()), result.stderr, out.read_text()

    return run


@pytest.mark.parametrize("way, processes, calls", [
    ("alone", 1, 1), ("subprocess", 2, 1), ("fork", 3, 2), ("spawn", 3, 2), ("loader", 1, 1)])
def test_what_children_did_is_counted(receipt_of, way, processes, calls):
    receipt, text, page = receipt_of(way)
    assert receipt["processes"] == processes and receipt["without_account"] == 0
    assert sum(entry["calls"] for entry in receipt["fallbacks"]) == calls
    assert len(receipt["fallbacks"]) == 1 and "user.py" in receipt["fallbacks"][0]["site"]
    assert receipt["launches"] >= calls and receipt["memory"]
    made = [e for e in receipt["redirected"] if e["name"].startswith("aten::")]
    assert sum(entry["calls"] for entry in made) == calls
    assert ("processes, counted together" in text) == (processes > 1)
    assert ("processes, counted together" in page) == (processes > 1)


def test_a_process_without_an_account_is_named(receipt_of):
    receipt, text, page = receipt_of("killed")
    assert receipt["processes"] == 2 and receipt["without_account"] == 1
    assert "not known: what 1 of them did" in text and "is not known" in page


def test_what_is_not_known_is_over_a_budget(receipt_of):
    _, text, page = receipt_of("quits", "--budget", "fallbacks=0", code=3)
    for said in (text, page):
        assert "nothing known fell back to the CPU; processes that left no account: 1" in said
    assert "over budget: fallbacks of 1 processes that left no account" in text
    receipt_of("quits", "--budget", "seconds=1000")
