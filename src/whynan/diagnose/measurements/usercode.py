"""What the source of the training loop says about the order of its calls: zero_grad, backward, unscale_, clip, step.

Read with `ast`, never executed. Only statements of one function, in the order in which they stand, are compared.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path

from whynan.diagnose.inquest import Inquest, measurement

_SCHEDULER = re.compile(r"sched|warmup|anneal|plateau|lr_|env\b|environment|sampler|timer|ema", re.IGNORECASE)
_SCALER = re.compile(r"scaler", re.IGNORECASE)


@dataclass(frozen=True)
class Call:
    what: str  # "step", "clip", "zero", "backward", "unscale", "scaler.step", "scale"
    line: int
    text: str


@dataclass(frozen=True)
class UserCode:
    calls: tuple[Call, ...]  # those of the function (or module) that steps the optimizer
    anywhere: frozenset[str]  # kinds of calls anywhere in the files read
    sums: bool  # a loss that is summed rather than averaged
    divides: bool  # the loss is divided before backward
    conditional: bool  # the step depends on a counter: gradient accumulation

    def lines(self, what: str) -> list[int]:
        return [c.line for c in self.calls if c.what == what]

    @property
    def clip_after_step(self) -> tuple[int, int] | None:
        """(line of the clip, line of the step) when gradients are clipped after the update and nowhere before it."""
        steps, clips = self.lines("step") + self.lines("scaler.step"), self.lines("clip")
        backwards = self.lines("backward")
        if not steps or not clips or not backwards:
            return None
        step = min(steps)
        if any(min(backwards) < c < step for c in clips):
            return None
        after = [c for c in clips if c > step]
        early = [c for c in clips if c < min(backwards)]
        return (after[0], step) if after else (early[0], step) if early else None

    @property
    def never_zeroed(self) -> bool:
        return "zero" not in self.anywhere and ("step" in self.anywhere or "scaler.step" in self.anywhere)

    @property
    def clip_before_unscale(self) -> int | None:
        """Line of a clip that sees scaled gradients."""
        if "scaler.step" not in self.anywhere or not self.lines("clip"):
            return None
        clip = min(self.lines("clip"))
        return None if any(u < clip for u in self.lines("unscale")) else clip

    @property
    def scaled_but_plain_step(self) -> int | None:
        """Line of an `optimizer.step()` behind a `scaler.scale(loss).backward()`, without `scaler.step` or `unscale_`."""
        if "scale" not in self.anywhere or "unscale" in self.anywhere:
            return None
        steps = self.lines("step")
        return steps[0] if steps and not self.lines("scaler.step") else None


@measurement
def usercode(inquest: Inquest) -> UserCode | None:
    calls: tuple[Call, ...] = ()
    anywhere: set[str] = set()
    sums = divides = conditional = False
    found = False
    for file in inquest.files:
        try:
            text = Path(file).read_text(encoding="utf-8", errors="replace")
            tree = ast.parse(text)
        except (OSError, SyntaxError, ValueError):
            continue
        found = True
        groups: list[list[Call]] = []
        for scope in [tree, *(n for n in ast.walk(tree) if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef)))]:
            group = [c for node in _own(scope) if isinstance(node, ast.Call) and (c := classify(node)) is not None]
            groups.append(sorted(group, key=lambda c: c.line))
            anywhere |= {c.what for c in group}
        if re.search(r"\.grad\s*=\s*None|\.grad\.zero_\(|autograd\.grad\(|\.grad\.data\.zero_\(", text):
            anywhere.add("zero")
        best = max(groups, key=lambda g: _weight(g))
        if _weight(best) > _weight(list(calls)):
            calls = tuple(best)
        sums = sums or bool(re.search(r"reduction\s*=\s*['\"]sum['\"]|\.sum\(\)", text))
        divides = divides or bool(re.search(r"loss\s*(?:/=|/)|/\s*(?:accum|n_micro|micro)", text, re.IGNORECASE))
        conditional = conditional or _conditional(tree)
    return UserCode(calls, frozenset(anywhere), sums, divides, conditional) if found else None


def classify(call: ast.Call) -> Call | None:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else call.func.id if isinstance(call.func, ast.Name) else ""
    owner = ast.unparse(call.func.value) if isinstance(call.func, ast.Attribute) else ""
    what = None
    if name in ("clip_grad_norm_", "clip_grad_value_", "clip_grad_norm", "clip_grads_with_norm_"):
        what = "clip"
    elif name == "zero_grad":
        what = "zero"
    elif name == "backward":
        what = "backward"
    elif name == "unscale_":
        what = "unscale"
    elif name == "scale" and _SCALER.search(owner):
        what = "scale"
    elif name == "step" and _SCALER.search(owner):
        what = "scaler.step"
    elif name == "step" and not _SCHEDULER.search(owner) and owner:
        what = "step"
    return Call(what, call.lineno, ast.unparse(call)[:80]) if what else None


def _own(scope: ast.AST) -> list[ast.AST]:
    """Nodes of a function or module that belong to no inner function."""
    found: list[ast.AST] = []
    stack = list(ast.iter_child_nodes(scope))
    while stack:
        node = stack.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        found.append(node)
        stack.extend(ast.iter_child_nodes(node))
    return found


def _weight(group: list[Call]) -> int:
    kinds = {c.what for c in group}
    return 4 * bool(kinds & {"step", "scaler.step"}) + 2 * ("backward" in kinds) + len(kinds)


def _conditional(tree: ast.AST) -> bool:
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and any(isinstance(n, ast.Mod) for n in ast.walk(node.test)):
            if any(isinstance(n, ast.Call) and (c := classify(n)) is not None and c.what == "step" for n in ast.walk(node)):
                return True
    return False
