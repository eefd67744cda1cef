"""Libraries that look at CUDA while they are imported can be imported while it is redirected."""

import pytest


@pytest.mark.parametrize("module", [
    "torch._dynamo", "torch._inductor.compile_fx", "torch._inductor.cudagraph_trees",
    "torch.utils.cpp_extension", "torch.distributed", "torch.profiler", "transformers",
])
def test_import_under_redirection(python, module):
    if module == "transformers":
        pytest.importorskip("transformers")
    result = python(f"import torch_trn.migrate\nimport {module}\n")
    assert result.returncode == 0, result.stderr
