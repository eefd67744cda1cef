"""The command line."""

import subprocess
import sys

import pytest
import torch
import torch_trn


def test_run_redirects_and_prints_a_receipt(torch_trn_command, script):
    path = script("import sys, torch\n"
                  "assert torch.cuda.is_available()\n"
                  "x = torch.empty(3, device='cuda')\n"
                  "assert x.device.type == 'cuda' and __name__ == '__main__'\n"
                  "print('args', sys.argv[1:])\n")
    result = torch_trn_command("run", path, "--lr", "3", "-m")
    assert result.returncode == 0, result.stderr
    assert "args ['--lr', '3', '-m']" in result.stdout
    assert "torch.cuda.is_available" in result.stderr and "user.py:2" in result.stderr
    assert "nothing fell back to the CPU" in result.stderr
    assert "kernels launched:" in result.stderr and "peak memory of trn:0" in result.stderr
    quiet = torch_trn_command("run", "--no-receipt", path)
    assert quiet.returncode == 0 and "receipt" not in quiet.stderr


def test_receipt_names_fallbacks_by_line(torch_trn_command, script):
    path = script("import torch\nx = torch.zeros(3, 3).cuda()\ntorch.linalg.eigvals(x)\n")
    result = torch_trn_command("run", path)
    assert result.returncode == 0, result.stderr
    assert "fell back to the CPU (calls" in result.stderr and "user.py:3" in result.stderr


@pytest.mark.parametrize("body, code", [
    ("import sys; sys.exit(5)", 5), ("raise ValueError('mine')", 1), ("import sys; sys.exit()", 0),
])
def test_exit_codes(torch_trn_command, script, body, code):
    result = torch_trn_command("run", script(body))
    assert result.returncode == code
    assert "cli/run.py" not in result.stderr, "the traceback shows more than the program's frames"


@pytest.mark.parametrize("body, code, words", [
    ("import sys; sys.stdout.close()", 0, ""),
    ("import sys; sys.stdout = None; sys.exit(4)", 4, ""),
    ("import os, torch\nos.mkdir('d'); os.chdir('d'); os.rmdir('../d')\ntorch.ones(3).cuda()", 0,
     "user.py:3"),
    ("import asyncio; raise asyncio.CancelledError", 1, "CancelledError"),
    ("import sys\nsys.excepthook = lambda *e: print('hooked', e[1], file=sys.stderr)\nint('x')", 1,
     "hooked invalid literal")])
def test_a_receipt_whatever_the_program_does(torch_trn_command, script, body, code, words):
    result = torch_trn_command("run", script(body))
    assert result.returncode == code and words in result.stderr, result.stderr
    assert "kernels launched" in result.stderr and "cli/" not in result.stderr, result.stderr


def test_a_folder_that_runs(torch_trn_command, tmp_path):
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "beside.py").write_text("name = 'beside'")
    (tmp_path / "app" / "__main__.py").write_text("import beside; print(__name__, beside.name)")
    result = torch_trn_command("run", "app")
    assert result.returncode == 0 and "__main__ beside" in result.stdout, result.stderr


def test_a_package_that_raises(torch_trn_command, tmp_path):
    for name, body, words in (("one", "int('mine')", "'mine'"), ("two", "import nope", "'nope'")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(body)
        result = torch_trn_command("run", "-m", f"{name}.part")
        assert result.returncode == 1 and words in result.stderr, result.stderr
        assert "kernels launched" in result.stderr and "cli/" not in result.stderr, result.stderr


def test_a_package_finds_cuda(torch_trn_command, tmp_path):
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "__init__.py").write_text(
        "import torch\nDEVICE = 'cuda' if torch.cuda.is_available() else 'cpu'")
    (tmp_path / "pkg" / "train.py").write_text("from . import DEVICE; print('on', DEVICE)")
    result = torch_trn_command("run", "-m", "pkg.train")
    assert result.returncode == 0 and "on cuda" in result.stdout, result.stderr


def test_module(torch_trn_command):
    result = torch_trn_command("run", "-m", "json.tool", "--help")
    assert result.returncode == 0 and "usage" in result.stdout


@pytest.mark.parametrize("args, words", [
    (["run", "/no/such.py"], "there is no file /no/such.py"),
    (["run", "-m", "no.such.module"], "there is no module no.such.module"),
    (["run", "-m", "json.nope"], "there is no module json.nope"),
    (["bench", "--threads", "-1"], "--threads"), (["replay", "--times", "0", "log"], "from 1 on"),
    (["fly"], "invalid choice: 'fly'"), ([], "COMMAND"), (["run"], "SCRIPT"),
])
def test_wrong_commands(torch_trn_command, args, words):
    result = torch_trn_command(*args)
    assert result.returncode == 2 and words in result.stderr
    assert "Traceback" not in result.stderr


def test_info(torch_trn_command):
    result = torch_trn_command("info")
    assert result.returncode == 0, result.stderr
    for words in (torch_trn.__version__, torch.__version__, "trn:1", "kernels:", "TRN_FALLBACK"):
        assert words in result.stdout
    unknown = torch_trn_command("info", env={"TRN_KERNELS": "foo", "TRN_MEMORY": "abc"}).stdout
    assert "(set to 'foo')" in unknown and "TRN_MEMORY=0 (set to 'abc')" in unknown
    assert torch_trn_command("info", env={"TRN_DEVICES": "0"}).returncode == 1


def test_python_dash_m():
    result = subprocess.run([sys.executable, "-m", "torch_trn", "--help"], capture_output=True,
                            text=True)
    assert result.returncode == 0 and "TRN_KERNELS" in result.stdout


def test_help_loads_no_command(python):
    loaded = python("import sys, torch_trn.cli.main as m\ntry:\n    m.main(['--help'])\n"
                    "except SystemExit:\n    print([n for n in sys.modules if 'bench' in n and "
                    "n.startswith('torch_trn')])\n")
    assert loaded.stdout.endswith("[]\n"), loaded.stdout


def test_children_are_redirected(torch_trn_command, script):
    path = script("import os\nassert os.environ['TORCH_TRN_MIGRATE'] == '1'\n")
    assert torch_trn_command("run", path).returncode == 0


def test_children_of_a_copy_that_is_not_installed(python, script, installed_environment):
    path = script("print('ran')\n")
    words = "processes that the program starts are not redirected"
    hidden = "import importlib.metadata as m; m.entry_points = lambda **_: ()"
    for hide, told in (("", 0), (hidden, 1)):
        result = python(f"import sys\n{hide}\nfrom torch_trn.cli.main import main\n"
                        f"sys.exit(main(['run', {path!r}]))\n", env=installed_environment)
        assert result.returncode == 0 and "ran" in result.stdout, result.stderr
        assert sum(words in line for line in result.stderr.splitlines()) == told, result.stderr


def test_a_program_knows_its_whole_path(torch_trn_command, tmp_path):
    # Python says what was typed in sys.argv[0], but the whole path in __file__ and of functions.
    (tmp_path / "knows.py").write_text(
        "import inspect, os, sys\n\ndef one():\n    return 1\n\n"
        "os.chdir('/')\nprint(sys.argv[0], open(__file__).readline(), inspect.getsource(one))\n"
        "assert sys.modules['__main__'].one is one\n")
    ran = torch_trn_command("run", "knows.py")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("knows.py import inspect") and "return 1" in ran.stdout
