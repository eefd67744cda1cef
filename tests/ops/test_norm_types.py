"""Normalisations refuse parameters of another type, in CUDA's words."""

import pytest
import torch
import torch.nn.functional as F

pytestmark = pytest.mark.usefixtures("native")


def ones(*sizes, dtype=torch.float32):
    return torch.ones(*sizes, device="trn", dtype=dtype)


X = (2, 4, 3, 3)


@pytest.mark.parametrize("dtype, word", [(torch.float64, "Double"), (torch.float16, "Half")])
@pytest.mark.parametrize("training", [False, True])
def test_batch_norm(dtype, word, training):
    other, own = ones(4, dtype=dtype), ones(4)
    with pytest.raises(RuntimeError, match="^Expected tensor for argument #1 'input' to have the "
                                           "same type as tensor for argument #2 'weight'.*cudnn"):
        F.batch_norm(ones(*X), own, own, other, other, training)
    with pytest.raises(RuntimeError, match="#2 'weight'.* argument #4 'running_mean'"):
        F.batch_norm(ones(*X), other, other, own, own, training)
    with pytest.raises(RuntimeError, match=f"^expected scalar type Float but found {word}$"):
        F.batch_norm(ones(8, 4), own, own, other, other, training)


@pytest.mark.parametrize("dtype, word", [(torch.float64, "Double"), (torch.float16, "Half")])
def test_layer_and_group_norm(dtype, word):
    other, own = ones(4, dtype=dtype), ones(4)
    for weight, bias in ((other, other), (own, other), (None, other)):
        with pytest.raises(RuntimeError, match=f"^expected scalar type Float but found {word}$"):
            F.layer_norm(ones(2, 4), (4,), weight, bias)
    with pytest.raises(RuntimeError, match="^mixed dtype"):
        F.group_norm(ones(*X), 2, other, other)
    with pytest.raises(RuntimeError, match=f"^expected scalar type Float but found {word}$"):
        F.group_norm(ones(*X), 2, own, other)


def test_float32_goes_with_halves():
    for dtype in (torch.float16, torch.bfloat16):
        x, own = ones(*X, dtype=dtype), ones(4)
        assert F.batch_norm(x, own, own, own, own, True).dtype == dtype
        assert F.batch_norm(x, own, own, own.to(dtype), own.to(dtype)).dtype == dtype
        assert F.group_norm(x, 2, own, own).dtype == dtype
        assert F.layer_norm(x, (3,), ones(3), ones(3)).dtype == dtype
