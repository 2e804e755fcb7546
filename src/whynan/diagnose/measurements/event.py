"""The birth in a form that causes can compare: which operation, forward or its derivative, with which numbers."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field

from whynan.diagnose.inquest import Inquest, measurement

_NODE = re.compile(r"Backward\d+$")


@dataclass(frozen=True)
class Event:
    """`base` is the bare name of the op ("log"); `node` that of the derivative at work ("sqrt"), or None."""

    base: str
    node: str | None
    phase: str
    kind: str
    dtype: str
    text: str
    scalars: dict[str, float] = field(default_factory=dict)
    nonfinite_scalar: tuple[str, float] | None = None
    numpy: str | None = None

    @property
    def low_precision(self) -> bool:
        return self.dtype in ("float16", "bfloat16") or self.dtype.startswith("float8")

    @property
    def here(self) -> str:
        """The words for the place in a sentence."""
        return f"`{self.text}`" if self.text else f"`{self.base}`"


@measurement
def event(inquest: Inquest) -> Event | None:
    birth = inquest.birth
    if birth is None:
        return None
    record = inquest.record
    text = " ".join((birth.expression or birth.source or "").split())
    said = numpy_word(birth.note or "")
    base = bare(birth.op) if birth.op else _from_numpy(said, text, birth.expression)
    scalars: dict[str, float] = {}
    if record is not None:
        given = dict(zip(record.plan.names, record.args)) | record.kwargs
        scalars = {k: float(v) for k, v in given.items() if isinstance(v, (int, float)) and not isinstance(v, bool)}
        for name, value in given.items():  # the _foreach_ ops take lists of scalars
            if isinstance(value, (list, tuple)) and value and all(isinstance(v, float) for v in value):
                scalars[name] = float(value[0])
    dtype = birth.outputs[0].dtype if birth.outputs else "float32"
    return Event(
        base=base,
        node=derivative(birth.autograd_node),
        phase=birth.phase,
        kind=birth.kind,
        dtype=dtype,
        text=text if len(text) <= 80 else text[:77] + "...",
        scalars=scalars,
        nonfinite_scalar=inquest.finding.scalar if inquest.finding is not None else None,
        numpy=said,
    )


def bare(op: str) -> str:
    """ "aten::_foreach_addcdiv_" -> "addcdiv"; the leading underscore of names like _softmax stays."""
    base = op.rpartition("::")[2].partition(".")[0]
    base = base.removeprefix("_foreach_")
    return base.rstrip("_") if base != "_" else base


def derivative(node: str | None) -> str | None:
    """ "SqrtBackward0" -> "sqrt", "LinalgSvdBackward0" -> "linalgsvd".

    None for the backward of an `autograd.Function` ("SincBackward", without a number): its ops are as written there.
    """
    return _NODE.sub("", node).lower() if node and _NODE.search(node) else None


def numpy_word(note: str) -> str | None:
    found = re.search(r"numpy reported '(.+?) encountered", note)
    return found.group(1) if found else None


_OPERATORS = {ast.Div: "div", ast.FloorDiv: "floor_divide", ast.Mod: "remainder", ast.Mult: "mul", ast.Pow: "pow"}


def _operator(expression: str | None) -> str | None:
    """ "(x - m) / s" -> "div"; None for a call, whose name the text gives, or where the expression is not whole."""
    try:
        root = ast.parse((expression or "").strip(), mode="eval").body
    except SyntaxError:
        return None
    return _OPERATORS.get(type(root.op)) if isinstance(root, ast.BinOp) else None


def _from_numpy(said: str | None, text: str, expression: str | None) -> str:
    """numpy says what kind of error, the source says which function; best its very operator, where that is known."""
    if said is None:
        return ""
    operator = _operator(expression)
    if operator is not None:
        return operator
    logs = re.search(r"\blog(10|2|1p)?\b", text)
    if said.startswith("divide"):
        return logs.group(0) if logs else "pow" if re.search(r"\*\*|power", text) and "/" not in text else "div"
    if said.startswith("overflow"):
        found = re.search(r"\bexp(m1|2)?\b|\bcosh\b|\bsinh\b", text)
        return found.group(0) if found else "mul"
    for name in ("sqrt", "arccos", "arcsin", "arccosh", "arctanh"):
        if name in text:
            return name.replace("arc", "a")
    if "/" in text or "divide" in text:
        return "div"
    return logs.group(0) if logs else "pow" if "**" in text or "power" in text else "div"
