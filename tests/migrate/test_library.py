"""Operators that programs register for CUDA run on trn, under autocast too."""

import pytest
import torch

pytestmark = pytest.mark.usefixtures("redirected")


def test_autocast_rules_of_custom_operators():
    @torch.library.custom_op("trn_test_library::scaled", mutates_args=(), device_types="cuda")
    def scaled(x: torch.Tensor, by: float) -> torch.Tensor:
        return x * by

    torch.library.register_autocast("trn_test_library::scaled", "cuda", torch.float32)
    x = torch.full((3,), 2.0, device="cuda", dtype=torch.bfloat16)
    assert scaled(x, 1.5).dtype == torch.bfloat16
    with torch.autocast("cuda", torch.bfloat16):
        out = scaled(x, 1.5)
        assert (out.reshape(3, 1) @ out.reshape(1, 3)).dtype == torch.bfloat16  # autocast goes on
    assert out.dtype == torch.float32
    assert out.tolist() == [3.0] * 3


def test_autocast_rules_of_libraries():
    with torch.library._scoped_library("trn_test_library", "FRAGMENT") as library:
        library.define("doubled(Tensor x) -> Tensor")
        library.impl("doubled", lambda x: x * 2, "CUDA")
        torch.library.register_autocast("trn_test_library::doubled", "cuda", torch.float16,
                                        lib=library)
        with torch.autocast("cuda", torch.float16):
            out = torch.ops.trn_test_library.doubled(torch.ones(2, device="cuda"))
        assert out.dtype == torch.float16
        assert out.tolist() == [2.0, 2.0]
