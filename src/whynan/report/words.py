"""The sentences of a report, once, for every place that shows it (terminal, page). Plain text in, plain text out."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import PurePath

from ..case.facts import Birth, Cause, PathStep, Remedy, Report, Symptom, TensorFacts, Trial
from . import numbers

LEVELS = {
    "proved": "proved by experiment",
    "supported": "supported by measurements",
    "guess": "a guess",
}
_NAMES = {"nan": "NaN", "inf": "Inf"}
_MESSAGE = 120  # characters of an exception
_SHORT, _NEAR = 7, 2  # a path of so many steps is shown whole; so many neighbours of an event are kept


def headline(report: Report) -> str:
    """The verdict in one line: "NaN born at step 240, iteration 240: aten::log in forward"."""
    if report.verdict == "healthy":
        return "Nothing non-finite was found"
    birth, symptom = report.birth, report.symptom
    if birth is None:
        if symptom is None:
            return "Something went non-finite; where, could not be found out"
        tail = "" if report.verdict == "suspect" else "; its birth was not found"
        return f"{symptom_text(symptom)} {_when(symptom)}{tail}"
    came = "came in" if birth.op is None and birth.phase == "data" else "born"
    head = f"{_NAMES[birth.kind]} {came} {_when(birth)}"
    if report.verdict == "suspect":
        head = f"Suspect: {head}"
    if birth.op:
        return f"{head}: {birth.op} in {birth.phase}"
    return f"{head}: {birth.tensor or 'a value'} in {birth.phase}"


def symptom_text(symptom: Symptom) -> str:
    """What the user could notice: "the gradient of fc.weight became nan"."""
    if symptom.what == "exception":
        lines = [line for line in (symptom.value or "").strip().split("\n") if line != "Traceback"]
        message = numbers.clipped(lines[0], _MESSAGE) if lines else ""
        return f"An exception ({message})" if message else "An exception"
    name = ""
    if symptom.name and symptom.name != symptom.what:
        name = f" of {symptom.name}" if symptom.what in ("gradient", "state") else f" {symptom.name}"
    return f"The {symptom.what}{name} became {symptom.value or 'non-finite'}"


def symptom_line(report: Report) -> str | None:
    """The symptom as a sentence of its own, where the headline is about the birth."""
    if report.symptom is None or report.birth is None:
        return None
    return f"{symptom_text(report.symptom)} {_when(report.symptom)}."


def _when(event: Birth | Symptom) -> str:
    return f"at step {event.step}" + (f", iteration {event.iteration}" if event.iteration is not None else "")


def place(file: str | None, line: int | None, function: str | None = None) -> str:
    """train.py:61 in forward."""
    if not file:
        return ""
    file = _from_here(file)
    at = f"{file}:{line}" if line is not None else file
    return f"{at} in {function}" if function and not function.startswith("<") else at


def _from_here(file: str) -> str:
    """The path as one would type it: relative where the file is below the current folder."""
    path = PurePath(file)
    here = os.getcwd()
    return str(path.relative_to(here)) if path.is_absolute() and path.is_relative_to(here) else file


def birth_details(birth: Birth) -> list[str]:
    """What else is known of the place: module, backward node, tensor."""
    details = []
    if birth.module is not None:
        details.append(f"module {birth.module or '(the model itself)'}")
    if birth.autograd_node:
        details.append(f"derivative {birth.autograd_node}")
    if birth.tensor and birth.op:
        details.append(f"tensor {birth.tensor}")
    return details


def values(tensor: TensorFacts) -> str:
    """Statistics of a tensor in a line: "min 0  max 12  absmax 12  zeros 1 of 16"."""
    if tensor.value is not None:
        return f"value {numbers.number(tensor.value)}"
    parts = [
        f"{name} {numbers.number(value)}"
        for name, value in (("min", tensor.min), ("max", tensor.max), ("absmax", tensor.absmax))
        if value is not None
    ]
    if tensor.zeros:
        parts.append(f"zeros {numbers.count(tensor.zeros, tensor.numel)}")
    return "  ".join(parts)


def nonfinite(tensor: TensorFacts) -> str:
    """How many elements are not finite and what they are: "50 of 800 not finite: 50 nan"; empty if all are finite."""
    if not tensor.nonfinite:
        return ""
    sorts = (("nan", tensor.nan), ("inf", tensor.posinf), ("-inf", tensor.neginf))
    which = ", ".join(f"{amount:,} {name}" for name, amount in sorts if amount)
    return f"{numbers.count(tensor.nonfinite, tensor.numel)} not finite" + (f": {which}" if which else "")


def elements(birth: Birth) -> list[str]:
    """Which elements and which samples went wrong."""
    lines = []
    if birth.elements and birth.elements.count:
        some = ", ".join(numbers.index(position) for position in birth.elements.first[:4])
        more = ", ..." if birth.elements.count > len(birth.elements.first[:4]) else ""
        amount = numbers.count(birth.elements.count, birth.elements.total)
        one = birth.elements.total == 1
        lines.append(f"bad elements {amount}" + (f", first {some}{more}" if some and not one else ""))
    if birth.rows:
        rows = ", ".join(map(str, birth.rows[:8])) + (", ..." if len(birth.rows) > 8 else "")
        lines.append(f"batch row{'s' if len(birth.rows) > 1 else ''} {rows}")
    return lines


@dataclass(frozen=True, kw_only=True)
class PathLine:
    """One line of the path as shown; `hidden` > 0 stands for that many steps left out here."""

    step: PathStep | None = None
    hidden: int = 0


def path_lines(path: tuple[PathStep, ...]) -> list[PathLine]:
    """The path with what is dull folded where it is long: kept are births, absorptions, their neighbours, the end."""
    events = [i for i, step in enumerate(path) if step.state in ("born", "placed", "absorbed")]
    near = {i + offset for i in events[:1] or [0] for offset in range(-_NEAR, _NEAR + 1)}
    kept = [i for i in range(len(path)) if i in near or i in events or i >= len(path) - _NEAR or len(path) <= _SHORT]
    shown: list[PathLine] = []
    last = -1
    for i in kept:
        gap = range(last + 1, i)
        if len(gap) == 1:
            shown.append(PathLine(step=path[gap[0]]))  # a fold takes a line too
        elif gap:
            shown.append(PathLine(hidden=len(gap)))
        shown.append(PathLine(step=path[i]))
        last = i
    return shown


def path_details(step: PathStep) -> list[str]:
    """Place, module and size of one step of the path."""
    details = [place(PurePath(step.file).name if step.file else None, step.line), step.module or ""]
    if step.absmax is not None:
        details.append(f"absmax {numbers.number(step.absmax)}")
    return [text for text in details if text]


def cause_title(cause: Cause) -> str:
    """log-of-zero (where-trap)."""
    return f"{cause.class_} ({cause.name})" if cause.name and cause.name != cause.class_ else cause.class_


def trial(trial: Trial) -> str:
    """The measured trial: "replayed 50 steps: finite, loss 2.31 -> 0.88"."""
    did = f"replayed {trial.steps} steps" if trial.how == "replay" else f"ran the script again, {trial.steps} steps"
    result = "finite" if trial.finite else "not finite"
    if trial.loss_before is None and trial.loss_after is None:
        return f"{did}: {result}"
    if trial.loss_before is None:
        return f"{did}: {result}, loss {numbers.number(trial.loss_after)}"
    return f"{did}: {result}, loss {numbers.number(trial.loss_before)} -> {numbers.number(trial.loss_after)}"


def remedy_standing(remedy: Remedy) -> str:
    """How far a remedy is to be trusted."""
    if remedy.patch is None and remedy.advice:
        return "to be done by hand"
    if remedy.trial is None:
        return "verified" if remedy.verified else "not tried"
    return f"{'verified' if remedy.verified else 'tried, not verified'}: {trial(remedy.trial)}"


def run_line(report: Report) -> str:
    """What was run and what watching cost."""
    run = report.run
    parts = [f"{_from_here(run.script)}, {run.steps:,} steps in {numbers.seconds(run.seconds)}"]
    if run.overhead is not None and run.seconds > 0:
        parts.append(f"watching {numbers.share(run.overhead, run.seconds)} of it")
    parts += [text for text in (f"torch {run.torch}" if run.torch else "", run.device or "") if text]
    if run.world_size > 1:
        parts.append(f"rank {run.rank} of {run.world_size}")
    return ", ".join(parts)


def visible(text: str) -> str:
    """`text` with control characters spelled out, so that a user's string cannot steer the terminal; tabs widened."""
    text = text.expandtabs(4)
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)
