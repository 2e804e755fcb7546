"""Where a script makes its optimizers and where it steps them."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

from whynan.remedy import flow
from whynan.remedy.source import Source

NAMES = frozenset(
    "SGD Adam AdamW Adamax Adagrad Adadelta NAdam RAdam RMSprop Rprop ASGD LBFGS SparseAdam Adafactor Muon "
    "Lion LAMB Lamb".split()
)
CLIPS = ("clip_grad_norm_", "clip_grad_value_", "clip_grad_norm")
SCHEDULER = re.compile(r"sched|warmup|annea|lr_|plateau", re.IGNORECASE)
OPTIMIZER = re.compile(r"(^|[._])(opt|optim)|optimizer|optimiser|_opt$|(^|\.)(sgd|adam)", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Step:
    """One `optimizer.step()` or `scaler.step(optimizer)`; texts as written there."""

    call: ast.Call
    statement: ast.stmt
    optimizer: str
    scaler: str | None = None


def constructors(source: Source) -> list[ast.Call]:
    """Calls that make a torch optimizer."""
    out = []
    for call in source.calls:
        dotted = source.dotted(call.func) or ""
        name = dotted.split(".")[-1] if dotted else flow.last_name(call.func) or ""
        if name in NAMES and (
            dotted.startswith("torch.optim") or (not dotted and isinstance(call.func, ast.Name)) or "optim" in dotted
        ):
            out.append(call)
    return out


def assigned_to(source: Source, call: ast.Call) -> str | None:
    """The text of the name or attribute a constructor call is assigned to."""
    for target, value in flow.targets(source.statement(call)):
        if value is call:
            return source.segment(target)
    return None


def constructor_of(source: Source, optimizer: str) -> ast.Call | None:
    """The constructor behind an optimizer's text; by its last name, if that is unambiguous."""
    made = constructors(source)
    exact = [c for c in made if assigned_to(source, c) == optimizer]
    if len(exact) == 1:
        return exact[0]
    last = optimizer.split(".")[-1]
    loose = [c for c in made if (assigned_to(source, c) or "").split(".")[-1] == last]
    return loose[0] if len(loose) == 1 else (made[0] if len(made) == 1 and not loose else None)


def steps(source: Source) -> list[Step]:
    """The places where optimizers step, in source order."""
    known = {assigned_to(source, c) for c in constructors(source)} - {None}
    out = []
    for call in source.calls:
        if not (isinstance(call.func, ast.Attribute) and call.func.attr == "step"):
            continue
        receiver = source.segment(call.func.value)
        given = [source.segment(a) for a in call.args]
        if re.search(r"scaler", receiver, re.IGNORECASE) and given:
            out.append(Step(call, source.statement(call), given[0], receiver))
        elif receiver in known or (OPTIMIZER.search(receiver) and not SCHEDULER.search(receiver)):
            out.append(Step(call, source.statement(call), receiver))
    return out


def parameters(source: Source, step: Step) -> str:
    """An expression for the optimizer's parameters that is valid at the step."""
    call = constructor_of(source, step.optimizer)
    first = call.args[0] if call and call.args else None
    if isinstance(first, ast.Call) and isinstance(first.func, ast.Attribute) and first.func.attr == "parameters":
        model = first.func.value
        if reachable(source, model, call, step.statement):  # type: ignore[arg-type]
            return f"{source.segment(model)}.parameters()"
    quote = '"' if '"' in source.text else "'"
    return f"[p for g in {step.optimizer}.param_groups for p in g[{quote}params{quote}]]"


def reachable(source: Source, name: ast.expr, here: ast.AST, there: ast.AST) -> bool:
    """Whether a name or attribute of self means the same at two places."""
    root = name
    while isinstance(root, ast.Attribute):
        root = root.value
    if not isinstance(root, ast.Name):
        return False
    if root.id == "self":
        return source.class_of(here) is source.class_of(there) is not None
    a, b = source.scope(here), source.scope(there)
    if a is b:
        return True
    own = flow.bindings(source, b, root.id) or root.id in flow.arguments(b)
    return a is source.tree and not own


def option(call: ast.Call, name: str, position: int | None = None) -> ast.expr | None:
    """The expression given for an option of a constructor."""
    for keyword in call.keywords:
        if keyword.arg == name:
            return keyword.value
    return call.args[position] if position is not None and position < len(call.args) else None


def backward_calls(source: Source) -> list[ast.Call]:
    return [c for c in source.calls if isinstance(c.func, ast.Attribute) and c.func.attr == "backward"]


def closure_of(source: Source, step: Step) -> ast.AST | None:
    """The function handed to `optimizer.step(closure)`, if it is in this file."""
    if step.scaler or not step.call.args:
        return None
    name = flow.last_name(step.call.args[0])
    return source.functions[name][0] if name in source.functions else None


def calls_named(source: Source, *names: str) -> list[ast.Call]:
    return [c for c in source.calls if flow.last_name(c.func) in names]
