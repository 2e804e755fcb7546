"""Words that only the page needs: labels of states, standings and badges, and prose with code in it."""

from __future__ import annotations

from pathlib import PurePath

from markupsafe import Markup

from ...case.facts import Birth, PathStep, Report, Site, Trial
from .. import numbers, words
from .diagram import Box
from .plot import summary as chart  # noqa: F401 (a name of the templates)

VERDICTS = {"healthy": "All finite", "nonfinite": "Not finite", "suspect": "Suspect"}
STATES = {
    "born": "not finite, from finite numbers",
    "carried": "not finite, because an input was",
    "absorbed": "took a non-finite input, gave finite numbers",
    "placed": "a constant that the program wrote",
    "finite": "all elements finite",
}
SAFETY = {
    "safe": "keeps what the program computes",
    "unsafe": "may change what the program computes",
    "display-only": "to read, not to apply as it is",
}
REPRODUCED = {
    "bitwise": "again, bit for bit the same",
    "eager": "again, without compilation",
    "rerun": "by running the program again from its start",
    "no": "did not come back",
    "not tried": "not tried",
}
# marks of a chart around their place, as SVG path data
GLYPHS = {
    "NaN": "m-4-4 8 8m0-8-8 8",
    "Inf": "m0-5 5 9h-10z",
    "-Inf": "m0 5 5-9h-10z",
    "0": "m-3 0a3 3 0 1 0 6 0a3 3 0 1 0-6 0",
    "alert": "m0-6 6 11h-12z",
    "action": "m0-6 6 6-6 6-6-6z",
}
_PATCH_KINDS = {"+": "added", "-": "removed", "@": "hunk"}
_LONGEST = 27  # characters of an op's name that fit into a box


def prose(text: str) -> Markup:
    """`text` escaped, with what stands between backticks as code."""
    pieces = words.visible(text).split("`")
    if len(pieces) % 2 == 0:  # one backtick is open: leave them as they are
        return Markup.escape("`".join(pieces))
    marked = [
        Markup("<code>{}</code>").format(piece) if i % 2 else Markup.escape(piece) for i, piece in enumerate(pieces)
    ]
    return Markup("").join(marked)


def patch_lines(patch: str) -> list[tuple[str, str]]:
    """(kind, text) of the lines of a unified diff; the kinds are class names of the page."""
    return [
        ("file" if line[:3] in ("+++", "---") else _PATCH_KINDS.get(line[:1], "same"), line)
        for line in patch.rstrip().split("\n")
    ]


def op(name: str, longest: int = _LONGEST) -> str:
    """The name of an op as people say it, short enough for a box."""
    return _cut(name.removeprefix("aten::"), longest)


def box_place(step: PathStep) -> str:
    """Where it was, short: train.py:53, encoder.layers.1."""
    place = words.path_details(PathStep(op="", state="finite", file=step.file, line=step.line))
    where = place[0] if place else ""
    module = step.module or ""
    return " · ".join(text for text in (_cut(where, 22), _tail(module, 30 - min(len(where), 22))) if text)


def box_size(step: PathStep) -> str:
    """How large or how bad the value was there, short."""
    if step.nonfinite and step.total:
        return (
            f"{numbers.share(step.nonfinite, step.total)} bad"
            if step.total > 9999
            else f"{step.nonfinite} of {step.total} bad"
        )
    return f"max {numbers.number(step.absmax)}" if step.absmax is not None else ""


def fold(path: tuple[PathStep, ...], box: Box, longest: int = 200) -> str:
    """What a fold hides: 33 more ops: add, mm."""
    names = dict.fromkeys(step.op.removeprefix("aten::") for step in path[box.index : box.index + box.hidden])
    return _cut(f"{box.hidden} more ops: {', '.join(names)}", longest)


def box_name(step: PathStep) -> str:
    """A box in a sentence, for those who do not see it."""
    parts = [f"{step.op}, {step.state}: {STATES[step.state]}", *words.path_details(step)]
    return ", ".join(parts)


def place(at: Birth | Site) -> str:
    """train.py:61 in forward, without the folder."""
    return words.place(PurePath(at.file).name if at.file else None, at.line, at.function)


def folder(file: str | None) -> str:
    """The folder of a file as one would type it, "" for the current one."""
    parent = str(PurePath(words.place(file, None)).parent) if file else "."
    return "" if parent == "." else f"in {parent}"


def trial_how(trial: Trial) -> str:
    """How a remedy was tried, in a word or two: the step replayed, or the script run again."""
    return "replay" if trial.how == "replay" else "full rerun"


def seconds_spent(report: Report) -> str | None:
    """What watching took: 0.1 s (2.4 %)."""
    run = report.run
    if run.overhead is None:
        return None
    part = f" ({numbers.share(run.overhead, run.seconds)})" if run.seconds > 0 else ""
    return numbers.seconds(run.overhead) + part


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: max(longest - 1, 1)] + "…"


def _tail(text: str, longest: int) -> str:
    """The end of a dotted name: its last parts say most."""
    return text if len(text) <= longest else "…" + text[-max(longest - 1, 1) :] if longest > 3 else ""
