"""torch-trn scan reads what a tree holds, whatever is wrong with some of it, and says so."""

import json
import os
import subprocess
import sys

import pytest
from torch_trn.cli.main import main
from torch_trn.cli.scan import scan_path

USE = "import torch\ntorch.cuda.synchronize()\n"


def names(path):
    scan = scan_path(str(path))
    return [f.name for f in scan.findings], scan


def notebook(*cells):
    return json.dumps({"cells": [{"cell_type": "code", "source": cell} for cell in cells]})


def test_one_bad_file_leaves_the_others(tmp_path):
    (tmp_path / "good.py").write_text(USE)
    (tmp_path / "gone.py").symlink_to("nowhere")
    (tmp_path / "loop.py").symlink_to("loop.py")
    (tmp_path / "sum.py").write_text("x = 1" + "+1" * 20000)
    (tmp_path / "long.py").write_text(USE + "x = 1" + "+1" * 900)
    (tmp_path / "list.ipynb").write_text("[]")
    (tmp_path / "null.ipynb").write_text('{"cells":[null]}')
    os.mkfifo(tmp_path / "pipe.py")
    found, scan = names(tmp_path)
    assert found == ["torch.cuda.synchronize"] * 2 and scan.grade == "A" and scan.files == 2
    reasons = {os.path.basename(u.file): u.reason for u in scan.unreadable}
    assert reasons["pipe.py"] == "not a regular file" and reasons["list.ipynb"] == "not a notebook"
    assert reasons["sum.py"] == "nested too deeply" and "No such file" in reasons["gone.py"]
    assert {"loop.py", "null.ipynb"} < set(reasons) and len(reasons) == 6


def test_a_reader_may_stop(tmp_path):
    (tmp_path / "a.py").write_text(USE * 9000)
    script = f"from torch_trn.cli.main import main; raise SystemExit(main(['scan', '{tmp_path}']))"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == "" and process.wait() == 0


@pytest.mark.parametrize("name, text", [
    ("old.py", "print 1"), ("plain.txt", "some words"), ("empty", None), (os.devnull, None)])
def test_no_grade_without_a_source(tmp_path, capsys, name, text):
    path = tmp_path / name
    if text:
        path.write_text(text)
    elif not path.exists():
        path.mkdir()
    assert main(["scan", str(path)]) == 2
    assert "no grade: no source was read" in capsys.readouterr().out
    assert main(["scan", "--html", str(path)]) == 2 and "No source" in capsys.readouterr().out
    assert main(["scan", "--sarif", str(path)]) == 2
    run = json.loads(capsys.readouterr().out)["runs"][0]["invocations"][0]
    assert len(run["toolExecutionNotifications"]) == (name != "empty")


def test_scripts_and_named_files_are_read(tmp_path):
    (tmp_path / "train").write_text("#!/usr/bin/env python3\n" + USE)
    (tmp_path / "notes").write_text("words")
    (tmp_path / "code.txt").write_text(USE)
    assert names(tmp_path)[1].files == 1
    assert names(tmp_path / "code.txt")[0] == ["torch.cuda.synchronize"]


@pytest.mark.parametrize("data", [
    b"\xef\xbb\xbf" + USE.encode(), b"# coding: latin-1\n# \xe9\n" + USE.encode()])
def test_encodings(tmp_path, data):
    (tmp_path / "a.py").write_bytes(data)
    assert names(tmp_path)[0] == ["torch.cuda.synchronize"]


def test_notebooks(tmp_path, capsys):
    book = tmp_path / "n.ipynb"
    book.write_text(notebook(
        "%pip install x\nimport torch", "%%bash\nif then", "if x:\n    !nvidia-smi\nf = !ls",
        "torch?", "def (", ["%%time\n", "x = (7\n", "% 2)\n", "torch.cuda.synchronize()"]))
    assert main(["scan", str(book)]) == 0
    out = capsys.readouterr().out
    assert f"{book} cell 6:4:1: same" in out and f"not read: {book}: cell 5: " in out
    assert main(["scan", "--sarif", str(book)]) == 0
    result = json.loads(capsys.readouterr().out)["runs"][0]["results"][0]
    assert "In cell 6, line 4." in result["message"]["text"]
    assert "region" not in result["locations"][0]["physicalLocation"]
    cell = {"cell_type": "code", "input": USE}
    book.write_text(json.dumps({"nbformat": 3, "worksheets": [{"cells": [cell]}]}))
    assert names(book)[0] == ["torch.cuda.synchronize"]


def test_installed_packages_are_left_out_and_named(tmp_path, capsys):
    for folder in ("env/lib/site-packages", "build", ".git"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "a.py").write_text(USE)
    assert main(["scan", str(tmp_path)]) == 2
    out = capsys.readouterr().out
    assert "site-packages (name it" in out and "build (name it" in out and ".git" not in out
    assert main(["scan", "--html", str(tmp_path)]) == 2
    assert "Folders left out" in capsys.readouterr().out
    assert names(tmp_path / "build")[1].files == 1
