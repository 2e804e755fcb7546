"""torch.where does not protect the gradient

What it does
------------
Finds `torch.where(x > 0, f(x), ...)` where f is a logarithm, a root, a division, a power, acos or exp of the x that
the condition tests.

Why
---
Both branches are computed. The forward value is right; backward sends gradient 0 into the branch that was not
chosen, and 0 times its infinite derivative is NaN.

Bad
---
    import torch

    def safe_log_loss(x):
        return torch.where(x > 0, torch.log(x), torch.zeros_like(x))

Good
----
    import torch

    def safe_log_loss(x):
        positive = x > 0
        return torch.where(positive, torch.log(torch.where(positive, x, 1.0)), torch.zeros_like(x))

When it is safe
---------------
Where nothing is differentiated, or the argument is made safe before (the double where).

By default it is reported where the file is a program that trains, because only there the file shows what comes;
elsewhere in preview, or where the rule is named.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from whynan.lint.file import File
from whynan.lint.gradients import of_entries, without_gradient
from whynan.lint.meaning import behind, through
from whynan.lint.parts import compared, conditions, is_eps, short
from whynan.lint.rule import Hit
from whynan.lint.values import range_of
from whynan.remedy.form import Form, form, same

CODE = "WN512"
NAME = "where-trap"
CAUSES = ("where-trap",)
REMEDIES = ("safe-where", "clamp", "add-eps")


SINGULAR = ("log", "log2", "log10", "sqrt", "rsqrt", "div", "pow", "acos", "asin", "atanh", "reciprocal", "exp")
COUNT = re.compile(
    r"(^|[._])(num|n|nb|n?obs|count|nelems?|len|lengths?)(_|$)|_(count|nelems?|num|counts)$", re.IGNORECASE
)
SPREAD = re.compile(r"var|std|dev", re.IGNORECASE)
ROOTS = ("log", "log2", "log10", "sqrt", "rsqrt")


def check(file: File) -> Iterator[Hit]:
    for f in file.forms("where"):
        if f.lib not in ("torch", "method") or len(f.args) != 3 or without_gradient(file, f.node):
            continue
        condition, branches = (f.args[0], f.args[1:]) if f.lib == "torch" else (f.args[1], (f.args[0], f.args[2]))
        tested = [c for c in compared(file, condition.node) if c.number is None]
        for branch in branches:
            inner = behind(file, branch)
            risky = _singular(file, inner, tested, condition.node)
            if risky is not None and not of_entries(file, risky.node):
                text = short(file, risky.node)
                yield Hit(
                    risky.node,
                    f"{text} is computed where the condition is false too, and its gradient there is NaN.",
                    doubtful=not file.program,
                )


def _singular(file: File, branch: Form, tested: list[Form], condition: ast.AST) -> Form | None:
    """An op in a branch whose argument is what the condition tests, and is not made safe."""
    for node in ast.walk(branch.node):
        if not isinstance(node, (ast.Call, ast.BinOp)):
            continue
        f = form(file, node)
        if f.op not in SINGULAR or not f.args or f.lib in ("numpy", "math"):
            continue
        at = f.args[1] if f.op == "div" and len(f.args) == 2 else f.args[0]
        if f.op == "pow" and not _fractional(f):
            continue
        if f.op == "div" and (f.args[1].number is not None or not _tested_for_zero(file, branch, at, condition)):
            continue
        if f.op == "exp" and not _grows(at):
            continue
        if f.op == "sqrt" and SPREAD.search(file.segment(at.node)):
            continue  # the spread of data, of which nobody asks the gradient
        if range_of(file, at).positive or (f.op == "div" and _counted(file, f)):
            continue
        if any(same(file, at, t) for t in tested) or (f.op in ROOTS and _same_names(file, at, tested)):
            return f
    return None


def _counted(file: File, f: Form) -> bool:
    """A ratio of counts carries no gradient, and what is divided by the number of its parts is 0 where that is 0."""
    if range_of(file, f.args[0]).count or (f.args[0].number is not None and range_of(file, f.args[1]).count):
        return True
    return COUNT.search(str(through(file, f.args[1]).value or f.args[1].value or "")) is not None


def _same_names(file: File, at: Form, tested: list[Form]) -> bool:
    """Whether the argument is arithmetic on nothing but what is tested: log(1 - x) where the condition is x < 1."""
    names = {n.id for n in ast.walk(at.node) if isinstance(n, ast.Name) and n.id not in file.aliases}
    about = {n.id for t in tested for n in ast.walk(t.node) if isinstance(n, ast.Name) and n.id not in file.aliases}
    calls = any(isinstance(n, ast.Call) for n in ast.walk(at.node))
    return at.op in ("sub", "div") and len(names) == 1 and names == about and not calls


def _fractional(f: Form) -> bool:
    p = f.args[1].number if len(f.args) == 2 else None
    return p is not None and (p < 0 or p != int(p))


def _tested_for_zero(file: File, branch: Form, at: Form, condition: ast.AST) -> bool:
    """Whether the condition compares the divisor with 0 or something small."""
    for test in conditions(file, condition):
        sides = [form(file, n) for n in (test.left, *test.comparators)]
        if any(same(file, at, s) for s in sides) and any(s.number == 0 or is_eps(s) for s in sides):
            return True
    return False


def _grows(at: Form) -> bool:
    return at.op != "neg"
