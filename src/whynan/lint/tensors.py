"""Whether an expression is an array rather than a Python number.

Python numbers raise ZeroDivisionError and ValueError where tensors go on with inf and NaN: they are not our business.
"""

from __future__ import annotations

import ast

from whynan.lint.file import File
from whynan.lint.meaning import behind
from whynan.remedy.form import Form, form

METHODS = frozenset("item tolist".split())
NUMBERS = frozenset("len int float round ord bool".split())
ARRAYS = ("torch", "numpy", "scipy", "module")


def tensorial(file: File, f: Form, depth: int = 0) -> bool:
    """Whether something in the expression says that it is an array: a library call, a tensor method, a reduction."""
    f = behind(file, f)
    if depth > 6:
        return False
    if f.lib in ARRAYS:
        return f.op not in ("prod", "finfo", "size") or f.lib == "torch"
    if f.lib == "math" or f.op in METHODS or (f.lib == "python" and f.op in NUMBERS):
        return False
    if f.lib == "method":
        if isinstance(f.node, (ast.Subscript, ast.Attribute)):
            return bool(f.args) and tensorial(file, f.args[0], depth + 1)
        return f.op in TENSOR_METHODS or any(tensorial(file, a, depth + 1) for a in f.args[:1])
    if f.op in ("add", "sub", "mul", "div", "pow", "neg", "matmul") or f.op in ("max", "min", "abs"):
        return any(tensorial(file, a, depth + 1) for a in f.args)
    if isinstance(f.node, ast.Compare):
        return any(tensorial(file, form(file, n), depth + 1) for n in (f.node.left, *f.node.comparators))
    return False


TENSOR_METHODS = frozenset(
    "sum mean std var norm max min amax amin exp log sqrt rsqrt pow abs clamp square matmul softmax sigmoid relu tanh "
    "unsqueeze squeeze view reshape permute transpose expand gather index_select float half double detach masked_fill "
    "masked_select cumsum any all bincount to type_as new_zeros new_ones flatten contiguous clone".split()
)
