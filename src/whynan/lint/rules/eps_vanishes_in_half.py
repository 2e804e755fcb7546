"""An eps that float16 cannot hold

What it does
------------
Finds an eps or a lower bound below 3e-8 added to a tensor that is visibly float16: `x.half() + 1e-8`,
`x.to(torch.float16).clamp(min=1e-12)`.

Why
---
The smallest positive float16 is 6e-8, and everything below 3e-8 rounds to 0: x + 1e-8 is x, and the division or
logarithm that it should protect is not protected.

Bad
---
    import torch

    def normalize(x):
        x = x.half()
        return x / (x.norm(dim=-1, keepdim=True) + 1e-8)

Good
----
    import torch

    def normalize(x):
        x = x.float()
        return x / (x.norm(dim=-1, keepdim=True) + 1e-8)

When it is safe
---------------
In float32 and bfloat16 1e-8 is fine.
"""

from __future__ import annotations

from collections.abc import Iterator

from whynan.lint.file import File
from whynan.lint.meaning import behind
from whynan.lint.parts import TENSORS, short
from whynan.lint.rule import Hit
from whynan.remedy.form import SELECTING, Form

CODE = "WN704"
NAME = "eps-vanishes-in-half"
CAUSES = ("low-precision-underflow",)
REMEDIES = ("full-precision", "bfloat16", "add-eps")
KEEPS = (SELECTING - {"float", "to"}) | frozenset(
    "to norm sum mean sqrt square pow abs exp softmax var std max min matmul relu neg".split()
)


SMALLEST = 2.0**-25  # half of the smallest subnormal of float16: below it, everything rounds to 0


def check(file: File) -> Iterator[Hit]:
    if "half" not in file.text and "float16" not in file.text:
        return
    for f in file.forms("add", "clamp", "normalize"):
        value, x = _eps_of(f)
        if value is not None and x is not None and 0 < value < SMALLEST and half(file, x):
            yield Hit(f.node, f"In float16 {value:g} rounds to 0: {short(file, x.node)} is left as it is.")


def _eps_of(f: Form) -> tuple[float | None, Form | None]:
    """(eps, what it is added to or bounds)."""
    if f.op == "add" and len(f.args) == 2:
        a, b = f.args
        return (b.number, a) if b.number is not None else (a.number, b)
    if f.op == "clamp" and f.args:
        low = f.kw.get("min") or f.arg(1)
        return (low.number if low is not None else None), f.args[0]
    if f.op == "normalize" and f.lib == "torch" and f.args:
        eps = f.kw.get("eps") or f.arg(3)
        return (eps.number if eps is not None else 1e-12), f.args[0]
    return None, None


def half(file: File, f: Form, depth: int = 0) -> bool:
    """Whether a tensor is visibly float16."""
    f = behind(file, f)
    if depth > 8 or f.lib not in TENSORS and f.op not in ("add", "sub", "mul", "div", "pow", "neg"):
        return False
    if f.op == "half":
        return True
    if f.op in ("float", "double", "bfloat16"):
        return False
    types = [file.dotted(a.node) for a in (*f.args[1:], *f.kw.values())]
    if any(t in ("torch.float16", "torch.half") for t in types):
        return True
    if f.op in ("to", "type", "softmax", "sum", "mean") and any(t and t.startswith("torch.") for t in types):
        return False
    if f.op in ("add", "sub", "mul", "div"):
        return any(half(file, a, depth + 1) for a in f.args) and all(
            a.number is not None or half(file, a, depth + 1) for a in f.args
        )
    return f.op in KEEPS and bool(f.args) and half(file, f.args[0], depth + 1)
