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


DIVIDED = r"loss\s*/|/\s*(?:accum|n_?micro|micro|len\(|n_batch)"  # a loss that is an average after all


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
    inner_updates: int | None = None  # line of an update by hand from `autograd.grad(..., create_graph=True)`
    allocations: tuple[Call, ...] = ()  # memory that is allocated and not filled in the same statement

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
        """Line of an `optimizer.step()` behind a `scaler.scale(loss).backward()`, without `scaler.step` or
        `unscale_`."""
        if "scale" not in self.anywhere or "unscale" in self.anywhere:
            return None
        steps = self.lines("step")
        return steps[0] if steps and not self.lines("scaler.step") else None


@measurement
def usercode(inquest: Inquest) -> UserCode | None:
    calls: tuple[Call, ...] = ()
    anywhere: set[str] = set()
    sums = divides = conditional = False
    found, inner = False, None
    allocations: list[Call] = []
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
        divides = divides or bool(re.search(DIVIDED, text, re.IGNORECASE))
        conditional = conditional or _conditional(tree)
        inner = inner or _inner_update(tree)
        allocations += _allocations(tree)
    return (
        UserCode(calls, frozenset(anywhere), sums, divides, conditional, inner, tuple(allocations)) if found else None
    )


def classify(call: ast.Call) -> Call | None:
    name = (
        call.func.attr
        if isinstance(call.func, ast.Attribute)
        else call.func.id
        if isinstance(call.func, ast.Name)
        else ""
    )
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


def _inner_update(tree: ast.AST) -> int | None:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "grad":
            for keyword in node.keywords:
                if (
                    keyword.arg == "create_graph"
                    and isinstance(keyword.value, ast.Constant)
                    and keyword.value.value is True
                ):
                    return node.lineno
    return None


_EMPTY = frozenset(
    {"empty", "empty_like", "new_empty", "empty_strided", "FloatTensor", "Tensor", "DoubleTensor", "resize_"}
)
_FILLS = re.compile(
    r"\.(fill_|zero_|normal_|uniform_|copy_|random_|exponential_|bernoulli_|trunc_normal_)\(|\binit\.|out="
)


def _allocations(tree: ast.AST) -> list[Call]:
    """Calls of `torch.empty` and its kin in statements that do not fill them at once."""
    filled = {
        _last(ast.unparse(argument))
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and _FILLS.search(ast.unparse(node.func) + "(")
        for argument in (node.args[:1] or ([node.func.value] if isinstance(node.func, ast.Attribute) else []))
    } | {
        _last(ast.unparse(node.func.value))
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _FILLERS
    }
    found = []
    for statement in ast.walk(tree):
        if not isinstance(statement, (ast.Assign, ast.AnnAssign)) or statement.value is None:
            continue
        text = ast.unparse(statement)
        for call in ast.walk(statement.value):
            if (
                not isinstance(call, ast.Call)
                or not isinstance(call.func, ast.Attribute)
                or call.func.attr not in _EMPTY
            ):
                continue
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            numbers = all(
                isinstance(a, ast.Constant) and isinstance(a.value, int) or not isinstance(a, (ast.List, ast.Constant))
                for a in call.args
            )
            if numbers and not _FILLS.search(text) and not any(_last(ast.unparse(t)) in filled for t in targets):
                found.append(Call("empty", call.lineno, text[:100]))
    return found


_FILLERS = frozenset(
    {"fill_", "zero_", "normal_", "uniform_", "copy_", "random_", "exponential_", "bernoulli_", "trunc_normal_"}
)


def _last(text: str) -> str:
    return text.rpartition(".")[2].partition("[")[0]


def _conditional(tree: ast.AST) -> bool:
    """A step under `if ... % ...`: gradient accumulation."""
    counted = [
        n for n in ast.walk(tree) if isinstance(n, ast.If) and any(isinstance(t, ast.Mod) for t in ast.walk(n.test))
    ]
    calls = (n for branch in counted for n in ast.walk(branch) if isinstance(n, ast.Call))
    return any((c := classify(call)) is not None and c.what == "step" for call in calls)
