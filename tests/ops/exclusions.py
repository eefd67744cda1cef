"""What the tests over PyTorch's operator database leave out: (entry, type, check, reason).

"*" stands for any; entry is a shell pattern of full names, type one or several with commas, check
a name of tests/ops/checks.py.
CI prints how many rows there are, and fails when there are more than LIMIT.
"""

from __future__ import annotations

import fnmatch
import functools

LIMIT = 60

_RANDOM = "random: there is nothing to compare with; tests/ops/test_random.py looks at these"
_FRESH = "uninitialised memory"
_HALF = "the CPU, to compare with, has no kernel of this type; test_fft.py looks at these"
_SERIES = "PyTorch's double loses digits here; test_special.py compares with exact series"
_HOST = "asks for a host tensor by name"

EXCLUDED = [
    ("as_strided.partial_views", "*", "*",
     "reads storage behind the sample, which a copy leaves behind"),
    *[("as_strided*", "*", check, "reads storage that the changed input leaves behind")
      for check in ("empty", "0-d")],
    *[(name, "*", "expanded", "running statistics that share memory are refused")
      for name in ("*batch_norm*", "nn.functional.instance_norm")],
    ("_batch_norm_with_update", "*", "out", "its out= takes four tensors, each by name"),
    *[(name, "*", "*", _FRESH) for name in (
        "empty", "empty_like", "empty_permuted", "empty_strided", "new_empty", "new_empty_strided",
    )],
    ("fft.ihfft[2n]", "*", "out", "PyTorch's own out= leaves most of the result unwritten"),
    ("nn.functional.multi*margin_loss", "*", "empty", "the CPU leaves the mean of nothing unset"),
    ("_chunk_cat", "*", "0-d", "PyTorch's own CPU kernel crashes"),
    ("nn.functional.channel_shuffle", "*", "transposed", "needs a view, as on CUDA"),
    ("nn.functional.pixel_unshuffle", "*", "empty", "the CPU keeps the input's shape"),
    *[(name, "*", "out", "the samples return what out= cannot hold")
      for name in ("histogramdd", "nonzero")],
    *[("resize_", "*", check, "what is grown into is uninitialised") for check in ("empty", "0-d")],
    ("*polygamma*", "int8,int16", "*", "the CPU gives large finite numbers at poles, not infinity"),
    ("*_reduce.prod", "bfloat16,float16", "second gradient",
     "quotients of rounded products: the CPU's are as far off"),
    ("nn.functional.rms_norm", "bfloat16,float16", "forward mode",
     "PyTorch's formula for fused kernels gives the statistics' type, as on CUDA"),
    ("nn.functional.rms_norm", "float16", "second gradient",
     "PyTorch's formula for fused kernels overflows, as on CUDA"),
    *[(name, "*", "expanded", "equal rows make a singular matrix") for name in (
        "linalg.*", "lu", "lu_*", "cholesky*", "pinverse", "qr", "logdet", "geqrf", "ormqr", "svd",
    )],
    ("fft.*", "float16", "*", _HALF),
    *[(name, "float64", "*", _SERIES) for name in ("special.bessel_*", "special.airy_ai")],
    ("sparse.*", "*", "*", "sparse inputs have no strides to change; test_layouts.py has products"),
    *[(name, "*", "*", _HOST) for name in ("tensor_split", "to")],
    *[(name, "*", "*", _RANDOM) for name in (
        "svd_lowrank", "pca_lowrank", "bernoulli", "cauchy", "exponential", "geometric",
        "log_normal", "multinomial", "normal", "normal.*", "nn.functional.*dropout*",
        "nn.functional.fractional_max_pool*", "nn.functional.multi_head_attention_forward",
        "nn.functional.rrelu", "nn.functional.scaled_dot_product_attention", "rand*", "uniform",
    )],
]


def matches(pattern: str, entry: str) -> bool:
    return fnmatch.fnmatchcase(entry, pattern)


@functools.cache
def reason(entry: str, dtype: str, check: str) -> str | None:
    """Why this check of this entry is left out, or None when it is not."""
    for pattern, types, checks, why in EXCLUDED:
        typed = types == "*" or dtype in types.split(",")
        if typed and checks in ("*", check) and matches(pattern, entry):
            return why
    return None
