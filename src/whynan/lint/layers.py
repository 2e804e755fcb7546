"""Whether a value is what a layer gives, without a bound: the output of nn.Linear or a convolution, or a part of it."""

from __future__ import annotations

import ast
import re

from whynan.lint.file import File
from whynan.lint.parts import bare, unpacked
from whynan.remedy import flow
from whynan.remedy.form import form

LAYER = re.compile(r"^torch\.nn\.(modules\.\w+\.)?(Linear|Bilinear|LazyLinear|Conv[123]d|ConvTranspose[123]d)$")
PARTS = frozenset("chunk split unbind tensor_split".split())


def layer_behind(file: File, f: object) -> ast.expr | None:
    """The call of a layer whose output the expression is, up to constants, selections and splits; None otherwise."""
    inner = bare(file, f)  # type: ignore[arg-type]
    if inner.op == "name":
        value = unpacked(file, inner.node)
        if value is None:
            return None
        inner = form(file, value)
        if inner.op not in PARTS or not inner.args:
            return None
    if inner.op in PARTS and inner.args:
        inner = bare(file, inner.args[0])
    if isinstance(inner.node, ast.Call) and _unbounded(file, _constructor(file, inner.node.func)):
        return inner.node
    return None


def _constructor(file: File, func: ast.expr) -> ast.expr | None:
    if isinstance(func, ast.Call):
        return func
    if isinstance(func, (ast.Name, ast.Attribute)) and file.dotted(func) is None:
        return flow.meaning(file, func)
    return None


def _unbounded(file: File, made: ast.expr | None) -> bool:
    """A linear layer, or an nn.Sequential that ends with one."""
    if not isinstance(made, ast.Call):
        return False
    dotted = file.dotted(made.func) or ""
    if dotted == "torch.nn.Sequential" and made.args:
        return _unbounded(file, made.args[-1])
    return LAYER.match(dotted) is not None
