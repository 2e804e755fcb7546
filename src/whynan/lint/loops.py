"""The training step as a sequence of events: zero_grad, backward, unscale_, clip, step, update, in source order.

Events are read per block of statements (the body of a loop, a branch, a function), with what simple statements and
`with` blocks inside contain; branches of an `if` are blocks of their own, so that two ways are not one sequence.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from whynan.lint.file import File
from whynan.remedy import flow
from whynan.remedy.source import FUNCTIONS

EventKind = Literal["zero", "backward", "unscale", "clip", "step", "scaler.step", "update", "other"]
OPTIMIZER = re.compile(
    r"(^|[._])(opt|optim|optimizers?|optimiser|opt\w*|\w+_(opt|optim|optimizer))(\[[^\]]*\])?\d*$", re.IGNORECASE
)
SCALER = re.compile(r"(^|[._])(\w*_)?(grad_?)?scaler\d*$", re.IGNORECASE)
CLIPS = frozenset("clip_grad_norm_ clip_grad_value_ clip_grad_norm clip_grad_value clip_grad_norms_".split())
TORCH_OPTIMIZER = re.compile(r"^torch\.optim\.\w+$")


@dataclass(frozen=True, eq=False)
class Event:
    """`what`: whose step (the optimizer's text) or what is differentiated; `scaled`: by a GradScaler."""

    kind: EventKind
    node: ast.Call
    what: str = ""
    scaled: bool = False


@dataclass(frozen=True, eq=False)
class Block:
    """Events of one block, in order. `owner`: the statement or function whose block it is."""

    owner: ast.AST
    events: tuple[Event, ...]


def blocks(file: File) -> list[Block]:
    """Every block with events. Found once a file."""
    cache = file.__dict__.get("_blocks")
    if cache is None:
        cache = []
        if ".backward(" in file.text or ".step(" in file.text:
            for owner in file.all(ast.Module, *FUNCTIONS, ast.For, ast.While, ast.If, ast.With, ast.Try, ast.AsyncWith):
                for name in ("body", "orelse", "finalbody"):
                    statements = getattr(owner, name, None)
                    events = tuple(_events(file, statements)) if statements else ()
                    if events:
                        cache.append(Block(owner, events))
        file.__dict__["_blocks"] = cache
    found: list[Block] = cache
    return found


def _events(file: File, statements: list[ast.stmt]) -> Iterator[Event]:
    for statement in statements:
        if isinstance(statement, (ast.With, ast.AsyncWith)):
            yield from _events(file, statement.body)
        elif not isinstance(statement, (*flow.BLOCKS, *FUNCTIONS, ast.ClassDef)):
            calls = [n for n in ast.walk(statement) if isinstance(n, ast.Call)]
            for call in sorted(calls, key=lambda n: (n.end_lineno or 0, n.end_col_offset or 0)):
                event = event_of(file, call)
                if event is not None:
                    yield event


def event_of(file: File, call: ast.Call) -> Event | None:
    """What a call means for the step, if anything."""
    name = flow.last_name(call.func)
    if name in CLIPS:
        return Event("clip", call)
    if not isinstance(call.func, ast.Attribute):
        return None
    receiver = call.func.value
    text = ast.unparse(receiver)
    if name == "backward":
        scaled = ".scale(" in text or any(".scale(" in ast.unparse(a) for a in call.args[:1])
        return Event("backward", call, text, scaled or _scaled(file, receiver))
    if name == "zero_grad":
        return Event("zero", call, text)
    if name == "unscale_":
        return Event("unscale", call, ast.unparse(call.args[0]) if call.args else text)
    if name == "step" and call.args and is_scaler(file, receiver):
        return Event("scaler.step", call, ast.unparse(call.args[0]))
    if name == "step" and is_optimizer(file, receiver):
        return Event("step", call, text)
    if name == "update" and is_scaler(file, receiver):
        return Event("update", call, text)
    return None


def is_optimizer(file: File, node: ast.expr) -> bool:
    """Whether an expression is made by torch.optim, or is named as optimizers are."""
    made = flow.meaning(file, node) if isinstance(node, (ast.Name, ast.Attribute)) else None
    if isinstance(made, ast.Call) and TORCH_OPTIMIZER.match(file.dotted(made.func) or ""):
        return True
    return OPTIMIZER.search(ast.unparse(node)) is not None and "scheduler" not in ast.unparse(node).lower()


def is_scaler(file: File, node: ast.expr) -> bool:
    made = flow.meaning(file, node) if isinstance(node, (ast.Name, ast.Attribute)) else None
    if isinstance(made, ast.Call) and (flow.last_name(made.func) or "").endswith("GradScaler"):
        return True
    return SCALER.search(ast.unparse(node)) is not None


def _scaled(file: File, node: ast.expr) -> bool:
    """Whether a variable holds a scaled loss: scaled = scaler.scale(loss); scaled.backward()."""
    made = flow.meaning(file, node) if isinstance(node, ast.Name) else None
    return (
        isinstance(made, ast.Call)
        and isinstance(made.func, ast.Attribute)
        and made.func.attr == "scale"
        and is_scaler(file, made.func.value)
    )


def text_around(file: File, node: ast.AST) -> str:
    """The text of the outermost function around a node, or of the whole file at module level."""
    outer = [a for a in file.ancestors(node) if isinstance(a, FUNCTIONS)]
    return file.segment(outer[-1]) if outer else file.text
