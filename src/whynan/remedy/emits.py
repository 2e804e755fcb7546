"""Which calls in user code can run a given aten op or autograd node.

Births name aten ops ("aten::_softmax") and autograd nodes ("SqrtBackward0"); source has `softmax`,
`MultiheadAttention`.
The table maps the first to the normal names of `form`; an op that is not listed stands for itself.
"""

from __future__ import annotations

import re

from whynan.case.facts import Birth

ATTENTION = ("softmax", "scaled_dot_product_attention", "multi_head_attention_forward")
MATMUL = (
    "matmul",
    "linear",
    "einsum",
    "addmm",
    "baddbmm",
    "multi_head_attention_forward",
    "scaled_dot_product_attention",
)
DENSITY = ("log_prob", "kl_divergence", "entropy")
EMITS: dict[str, tuple[str, ...]] = {
    "log": ("log", "logit", "poisson_nll_loss", "gaussian_nll_loss", "entr", *DENSITY),
    "log_softmax": ("log_softmax", "cross_entropy", *DENSITY),
    "softmax": ATTENTION,
    "exp": ("exp", "poisson_nll_loss", "rsample", "sample", *DENSITY),
    "div": ("div", "nanmean", "normalize", "cosine_similarity", "log_prob", "cov", "corrcoef", "spectral_norm"),
    "reciprocal": ("reciprocal", "div", "pow"),
    "rsqrt": ("rsqrt", "rms_norm", "acos", "asin", "acosh", "layer_norm"),
    "sqrt": ("sqrt", "pow", "std", "norm", "cdist"),
    "pow": ("pow", "square", "mse_loss", "reciprocal", "rsqrt"),
    "mul": ("mul", "pow", "square", "mse_loss", "cumprod", "prod"),
    "mse_loss": ("mse_loss",),
    "nll_loss_forward": ("cross_entropy", "nll_loss"),
    "nll_loss": ("cross_entropy", "nll_loss"),
    "nll_loss_nd": ("cross_entropy", "nll_loss"),
    "nll_loss2d_forward": ("cross_entropy", "nll_loss"),
    "cross_entropy_loss": ("cross_entropy",),
    "xlogy": ("xlogy", "kl_div", "entropy", "kl_divergence", "log_prob"),
    "mean": (
        "mean",
        "mse_loss",
        "l1_loss",
        "smooth_l1_loss",
        "huber_loss",
        "binary_cross_entropy",
        "kl_div",
        "binary_cross_entropy_with_logits",
        "poisson_nll_loss",
        "gaussian_nll_loss",
    ),
    "binary_cross_entropy": ("binary_cross_entropy",),
    "var": ("var", "std"),
    "std": ("std",),
    "var_mean": ("var_mean", "batch_norm"),
    "std_mean": ("std_mean",),
    "norm": ("norm", "normalize"),
    "mm": MATMUL,
    "addmm": MATMUL,
    "bmm": MATMUL,
    "baddbmm": MATMUL,
    "matmul": MATMUL,
    "mv": MATMUL,
    "dot": MATMUL,
    "linear": MATMUL,
    "erfinv": ("erfinv", "icdf", "trunc_normal"),
    "special_ndtri": ("icdf",),
    "acos": ("acos",),
    "acosh": ("acosh",),
    "atanh": ("atanh", "log_prob"),
    "copy": ("to", "half", "type", "type_as", "float", "bfloat16"),
    "ctc_loss": ("ctc_loss",),
    "linalg_svd": ("svd", "pinv", "matrix_norm"),
    "linalg_eigh": ("eigh",),
    "linalg_eig": ("eig",),
    "linalg_inv_ex": ("inv",),
    "linalg_cholesky_ex": ("cholesky", "log_prob", "rsample"),
    "linalg_solve_ex": ("solve",),
    "linalg_slogdet": ("slogdet", "det"),
    "linalg_qr": ("qr",),
    "linalg_lu_factor_ex": ("inv", "solve", "det"),
    "linalg_det": ("det",),
    "linalg_solve_triangular": ("solve_triangular", "cholesky", "log_prob"),
}


def plain(op: str) -> str:
    """ "aten::_foreach_addcdiv_.Scalar" -> "addcdiv"."""
    name = op.split("::")[-1].removeprefix("aten.").split(".")[0].removeprefix("_foreach_").strip("_")
    name = re.sub(r"^_?scaled_dot_product.*", "scaled_dot_product_attention", name)
    return {
        "to_copy": "copy",
        "linalg_vector_norm": "norm",
        "convolution": "conv",
        "native_layer_norm": "layer_norm",
        "native_batch_norm": "batch_norm",
        "linalg_cross": "cross",
        "true_divide": "div",
        "special_logit": "logit",
        "special_entr": "entr",
        "special_xlog1py": "xlog1py",
    }.get(name, name)


def node_op(node: str) -> str:
    """ "LinalgSvdBackward0" -> "linalg_svd", "ToCopyBackward0" -> "copy"."""
    name = re.sub(r"Backward\d*$", "", node)
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    return plain(snake)


def names_of(op: str) -> frozenset[str]:
    return frozenset({op, *EMITS.get(op, ())})


SINGULAR = frozenset(
    "div sqrt rsqrt pow log log2 log10 log1p acos asin acosh atanh xlogy kl_div norm svd eigh hypot "
    "std var reciprocal where softmax".split()
)
"""Calls whose derivative may be infinite: what a backward birth without a node may belong to."""


def born_in(birth: Birth) -> frozenset[str]:
    """Normal names of the calls that may have run the birth op."""
    if birth.phase == "backward" and not birth.autograd_node and "Backward" not in (birth.op or ""):
        return SINGULAR | names_of(plain(birth.op or ""))
    if birth.phase == "backward" and birth.autograd_node:
        return names_of(node_op(birth.autograd_node))
    op = birth.op or ""
    return names_of(node_op(op) if "Backward" in op else plain(op)) if op else frozenset()
