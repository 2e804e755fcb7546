"""Adam on float16 parameters with an eps that is 0 there

What it does
------------
Finds `model.half()` whose parameters go to Adam, RMSprop or a relative with the default eps.

Why
---
The state has the type of the parameters. In float16 eps = 1e-8 rounds to 0, and squares of gradients below 2.4e-4
do too: the update is then 0 / 0 or g / 0.

Bad
---
    import torch
    import torch.nn as nn

    def make():
        model = nn.Linear(8, 8).half()
        return model, torch.optim.Adam(model.parameters(), lr=1e-3)

Good
----
    import torch
    import torch.nn as nn

    def make():
        model = nn.Linear(8, 8).half()
        return model, torch.optim.Adam(model.parameters(), lr=1e-3, eps=1e-4)

When it is safe
---------------
With `autocast` the parameters stay float32 and the default is fine; bfloat16 has the range of float32.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from whynan.lint.calls import given
from whynan.lint.file import File
from whynan.lint.optimizers import DIVIDING, constructions, option
from whynan.lint.rule import Hit
from whynan.remedy import flow

CODE = "WN614"
NAME = "optimizer-eps-in-half"
CAUSES = ("optimizer-eps-in-half",)
REMEDIES = ("raise-optimizer-eps", "full-precision", "bfloat16")
HALF = ("torch.float16", "torch.half")


def check(file: File) -> Iterator[Hit]:
    halves = _halves(file) if ".half(" in file.text or "float16" in file.text else set()
    for name, call in constructions(file) if halves else ():
        eps = option(call, "eps")
        small = eps is None or (
            isinstance(eps, ast.Constant) and isinstance(eps.value, (int, float)) and eps.value < 3e-8
        )
        if name in DIVIDING and small and call.args and _owners(file, call.args[0]) & halves:
            yield Hit(call, f"The parameters are float16, where the eps of {name} rounds to 0.")


def _halves(file: File) -> set[str]:
    """Names of models that are made or turned float16: m = Net().half(), m.half(), m.to(torch.float16)."""
    out: set[str] = set()
    for call in file.calls:
        if not isinstance(call.func, ast.Attribute) or call.func.attr not in ("half", "to"):
            continue
        if call.func.attr == "to" and not any(
            file.dotted(a) in HALF for a in (*call.args, *[k.value for k in call.keywords])
        ):
            continue
        parent = file.parents.get(call)
        if isinstance(parent, ast.Expr):
            out.add(ast.unparse(call.func.value))
        elif (
            isinstance(parent, ast.Attribute)
            and parent.attr in ("to", "cuda", "train")
            or isinstance(parent, ast.Assign)
        ):
            out |= {ast.unparse(t) for t, _ in flow.targets(file.statement(call))}
    return out


def _owners(file: File, node: ast.expr) -> set[str]:
    """model of model.parameters(), and what callers in this file give for it."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "parameters"):
        return set()
    owner = node.func.value
    values = given(file, owner) if isinstance(owner, ast.Name) else []
    return {ast.unparse(n) for n in (owner, *values)}
