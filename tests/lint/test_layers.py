"""A layer includes only what is below it: bind; ops, comm, profile, inductor; runtime; driver;
kernels."""

import re

import pytest

# What a folder may include of ours, and of others.
RULES = {
    "kernels": ({"kernels"}, ()),
    "csrc/base": ({"base"}, ()),
    "csrc/driver": ({"driver", "base", "kernels"}, ()),
    "csrc/runtime": ({"runtime", "driver", "base", "kernels"}, ("c10/", "ATen/")),
    "csrc/ops": ({"ops", "runtime", "driver", "base", "kernels"}, ("c10/", "ATen/", "torch/")),
    "csrc/comm": ({"comm", "runtime", "driver", "base", "kernels"}, ("c10/", "ATen/", "torch/")),
    "csrc/profile": ({"runtime", "driver", "base", "kernels"}, ("c10/", "ATen/", "torch/")),
    "csrc/inductor": ({"inductor", "runtime", "driver", "base", "kernels"},
                      ("c10/", "ATen/", "torch/")),
    "csrc/bind": ({"bind", "comm", "ops", "runtime", "driver", "base", "kernels"},
                  ("c10/", "ATen/", "torch/", "pybind11/")),
}
OURS = {"base", "driver", "runtime", "ops", "comm", "profile", "inductor", "bind"}
TORCH = ("c10/", "ATen/", "torch/", "pybind11/", "Python.h", "frameobject.h")
QUOTED = re.compile(r'^\s*#include\s+"([^"]+)"', re.M)
ANGLED = re.compile(r"^\s*#include\s+<([^>]+)>", re.M)


def layer_of(path, root):
    name = path.relative_to(root).as_posix()
    return next((layer for layer in RULES if name.startswith(layer + "/")), None)


@pytest.fixture(scope="module")
def files(sources, root):
    found = [(p, layer_of(p, root)) for p in sources if p.suffix in (".cpp", ".h", ".def")]
    found = [(p, layer) for p, layer in found if layer]
    assert len(found) > 20
    return found


def test_own_includes_point_down(files, root):
    wrong = []
    for path, layer in files:
        allowed = RULES[layer][0]
        for name in QUOTED.findall(path.read_text()):
            folder = name.split("/")[0] if "/" in name else ""
            if folder in OURS:
                ok = folder in allowed
            else:  # a kernel header, or a generated one of the operators
                ok = "kernels" in allowed or name.endswith(".structured.h")
            if not ok:
                wrong.append(f"{path.relative_to(root)} includes {name}")
    assert not wrong, "\n".join(wrong)


def test_torch_only_where_allowed(files, root):
    wrong = []
    for path, layer in files:
        for name in ANGLED.findall(path.read_text()):
            if not name.startswith(TORCH) or name.startswith(RULES[layer][1] or ("\0",)):
                continue
            if layer == "csrc/bind":
                continue
            wrong.append(f"{path.relative_to(root)} includes <{name}>")
    assert not wrong, "\n".join(wrong)


def test_slow_header_stays_out(files, root):
    wrong = [str(p.relative_to(root)) for p, _ in files
             if "<torch/extension.h>" in p.read_text() or "<torch/torch.h>" in p.read_text()]
    assert not wrong, f"torch/extension.h and torch/torch.h cost 20 s a file: {wrong}"


def test_onednn_only_in_its_folder(files, root):
    wrong = [str(p.relative_to(root)) for p, _ in files
             if re.search(r"#include\s+<(oneapi/)?dnnl", p.read_text())
             and "kernels/onednn/" not in p.as_posix()]
    assert not wrong, wrong
