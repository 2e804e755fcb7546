"""The training loop of a script: the `for` whose body steps an optimizer, itself or in a function it calls."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

from whynan.remedy import flow, optimizers
from whynan.remedy.source import Source

COUNTERS = re.compile(r"[ijkn]|it|iters?|iterations?|steps?|epochs?|(batch_?)?(idx|index|no|nr|num)|batch_?i|t|seed")
"""Names that stand for numbers beside a batch: `for epoch, x, y in batches()`."""


@dataclass(frozen=True, eq=False)
class Loop:
    """A loop over batches. `names` are the names one batch is unpacked into; `top` the first statement of the body
    after that."""

    node: ast.For
    names: tuple[str, ...]
    top: ast.stmt
    whole: bool  # one name for the whole batch, which may be a tensor, a tuple or a dict


def training_loops(source: Source) -> list[Loop]:
    """Innermost loops first."""
    found: list[ast.For] = []
    for step in optimizers.steps(source):
        for node in _enclosing(source, step.statement, 3):
            if node not in found:
                found.append(node)
    loops = [loop for node in found if (loop := _loop(source, node))]
    return sorted(loops, key=lambda loop: -loop.node.col_offset)


def _enclosing(source: Source, node: ast.AST, depth: int) -> list[ast.For]:
    """The nearest `for` around a node that iterates over data; through callers where the function has none."""
    around = [a for a in source.ancestors(node) if isinstance(a, ast.For)]
    function = source.function(node)
    own = [a for a in around if source.function(a) is function and not _counter(a)]
    if own:
        return own[:1]
    if function is None or depth == 0:
        return []
    return [f for call in flow.callers(source, function) for f in _enclosing(source, call, depth - 1)]


def _counter(node: ast.For) -> bool:
    """`for epoch in range(n)` hands out no data."""
    return isinstance(node.iter, ast.Call) and flow.last_name(node.iter.func) in ("range", "trange", "count")


def _loop(source: Source, node: ast.For) -> Loop | None:
    target: ast.expr = node.target
    if (
        isinstance(node.iter, ast.Call)
        and flow.last_name(node.iter.func) == "enumerate"
        and isinstance(target, ast.Tuple)
    ):
        target = target.elts[-1]
    every = [n.id for n in ast.walk(target) if isinstance(n, ast.Name) and n.id != "_"]
    names = tuple(n for n in every if not COUNTERS.fullmatch(n)) or tuple(every)
    if not names:
        return None
    first = node.body[0]
    if len(names) == 1 and isinstance(target, ast.Name):
        unpacked = _unpacked(node, names[0])
        if unpacked:
            return Loop(node, unpacked[0], unpacked[1], False)
        return Loop(node, names, first, True)
    return Loop(node, names, first, False)


def _unpacked(node: ast.For, name: str) -> tuple[tuple[str, ...], ast.stmt] | None:
    """`x, y = batch` at the top of the body: the names and the statement that follows."""
    for statement, following in zip(node.body, node.body[1:]):
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Tuple):
            uses = [n for n in ast.walk(statement.value) if isinstance(n, ast.Name) and n.id == name]
            names = [n.id for n in ast.walk(statement.targets[0]) if isinstance(n, ast.Name) and n.id != "_"]
            if uses and names:
                return tuple(names), following
    return None


def is_dict(source: Source, loop: Loop) -> bool:
    """Whether the batch is read with string keys."""
    for node in ast.walk(loop.node):
        by_name = isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id in loop.names
        if by_name and isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str):  # type: ignore
            return True
    return False


def is_label(name: str) -> bool:
    """Whether a name of the batch stands for what is to be predicted, or for indices: not for inputs."""
    return name in ("y", "label", "labels", "target", "targets", "idx", "index", "ids", "mask")
