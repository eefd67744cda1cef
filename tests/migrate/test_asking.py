"""What is redirected is listed where the program asks, not where torch itself does."""

import contextlib
import inspect
import warnings

import pytest
import torch
from torch_trn.migration import redirections, scope

if torch.cuda.is_available():
    pytest.skip("these tests are about machines without CUDA", allow_module_level=True)


def counted(call):
    """{(name, line from that of call): calls} of what the call added to the redirections."""
    before = redirections()
    with scope(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        call()
    first = call.__code__.co_firstlineno
    new = {}
    for (name, site), calls in redirections().items():
        if more := calls - before.get((name, site), 0):
            file, _, line = site.rpartition(":")
            assert file == __file__, (name, site)
            new[name, int(line) - first] = more
    return new


def test_what_a_program_calls():
    def program():
        for _ in range(2):
            torch.cuda.is_available()
        torch.nn.Linear(1, 1).cuda()

    assert counted(program) == {("torch.cuda.is_available", 2): 2, ("torch.nn.Module.cuda", 3): 1}


def test_what_torch_calls_for_itself():
    def program():
        torch.manual_seed(0)
        with torch.random.fork_rng([0]), contextlib.ExitStack() as stack:
            stack.enter_context(torch.random.fork_rng([1]))

    assert not [name for name, _ in counted(program) if name.startswith("torch.cuda.")]


def test_other_names_of_the_same():
    def program():
        torch.cuda.amp.GradScaler()
        torch.cuda.amp.autocast()
        with contextlib.ExitStack() as stack:
            stack.callback(torch.cuda.synchronize)

    assert counted(program) == {("torch.amp.GradScaler", 1): 1, ("torch.autocast", 2): 1,
                                ("torch.cuda.synchronize", 3): 1}


def test_operators_of_a_program():
    def program():
        library = torch.library.Library("test_asking", "DEF")
        library.define("one(Tensor x) -> Tensor")
        library.define("two(Tensor x) -> Tensor")
        library.impl("one", lambda x: x, "CUDA")
        torch.library.impl(library, "two", "CUDA")(lambda x: x)

    assert counted(program) == {("torch.library.impl", 4): 1, ("torch.library.impl", 5): 1}


def test_modules_that_a_compiler_generates_are_torchs():
    module = {"__name__": "torch._inductor.runtime.compile_tasks.abc", "torch": torch}
    exec("def program(): torch.cuda.current_device()", module)
    assert counted(module["program"]) == {}


def test_compiling(compiles, python):
    result = python(inspect.cleandoc("""
        import torch, torch_trn.migrate
        from torch_trn.migration import redirections
        model = torch.nn.Linear(4, 4).cuda()
        compiled = torch.compile(lambda x: model(x).relu())
        compiled(torch.ones(2, 4, device="cuda")).sum().backward()
        names = {name for name, _ in redirections()}
        assert "torch.compile" in names and "torch.nn.Module.cuda" in names, names
        assert not any(name.startswith(("torch.cuda.", "torch.library")) for name in names), names
    """))
    assert result.returncode == 0, result.stderr
