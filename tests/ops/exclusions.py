"""Entries of PyTorch's operator database that a test leaves out, each with the reason.

The key is the entry's full name; the tests are "forward" and "gradient". CI prints the size.
"""

_RANDOM = "random: there is nothing to compare with; tests/ops/test_random.py looks at these"
_FRESH = "uninitialised memory"
_SPARSE = "sparse tensors have no kernels on trn"
_HOST = "asks for a host tensor by name"

FORWARD = {
    "as_strided.partial_views": "reads storage behind the sample, which a copy leaves behind",
    "empty": _FRESH,
    "empty_like": _FRESH,
    "empty_permuted": _FRESH,
    "empty_strided": _FRESH,
    "new_empty": _FRESH,
    "new_empty_strided": _FRESH,
    "sparse.mm.reduce": _SPARSE,
    "sparse.sampled_addmm": _SPARSE,
    "tensor_split": _HOST,
    "to": _HOST,
    "to_sparse": _SPARSE,
    "svd_lowrank": _RANDOM,
    "pca_lowrank": _RANDOM,
    "bernoulli": _RANDOM,
    "cauchy": _RANDOM,
    "exponential": _RANDOM,
    "geometric": _RANDOM,
    "log_normal": _RANDOM,
    "multinomial": _RANDOM,
    "normal": _RANDOM,
    "normal.in_place": _RANDOM,
    "normal.number_mean": _RANDOM,
    "nn.functional.alpha_dropout": _RANDOM,
    "nn.functional.dropout": _RANDOM,
    "nn.functional.dropout2d": _RANDOM,
    "nn.functional.dropout3d": _RANDOM,
    "nn.functional.feature_alpha_dropout.with_train": _RANDOM,
    "nn.functional.feature_alpha_dropout.without_train": _RANDOM,
    "nn.functional.fractional_max_pool2d": _RANDOM,
    "nn.functional.fractional_max_pool3d": _RANDOM,
    "nn.functional.multi_head_attention_forward": _RANDOM,
    "nn.functional.rrelu": _RANDOM,
    "nn.functional.scaled_dot_product_attention": _RANDOM,
    "rand_like": _RANDOM,
    "randint": _RANDOM,
    "randint_like": _RANDOM,
    "randn": _RANDOM,
    "randn_like": _RANDOM,
    "uniform": _RANDOM,
}

GRADIENT: dict[str, str] = {}
