"""A report on the terminal: one screen, most important first, on stderr.

`render` says everything. `render_where` and `render_why` are its short form in two parts: the place is printed as soon
as it is known, the reason and the cure when they are found. A section without data is absent, and a healthy run prints
nothing at all. Text of the user's (source, tensor names, messages) is always put into rich as data, never as markup.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.segment import Segment, Segments
from rich.table import Table
from rich.text import Text

from ..case.facts import Birth, Cause, Evidence, PathStep, Rejected, Remedy, Report, TensorFacts
from . import numbers, words
from .excerpt import excerpt, window

_HEAD, _BAD, _GOOD, _DIM, _PLACE = "bold", "bold red", "green", "dim", "cyan"
_STATES = {"born": _BAD, "placed": "yellow", "absorbed": _GOOD, "carried": "", "finite": _DIM}
_LEVELS = {"proved": _GOOD, "supported": "yellow", "guess": _DIM}


def make_console(color: str = "auto", file: IO[str] | None = None) -> Console:
    """A console on stderr. `color` is auto (terminal, NO_COLOR and FORCE_COLOR decide), always or never."""
    return Console(
        file=sys.stderr if file is None else file,
        force_terminal=True if color == "always" else None,
        no_color=True if color == "never" else None,
        highlight=False,
        markup=False,
        emoji=False,
    )


def render(
    report: Report,
    console: Console,
    *,
    case: str | Path | None = None,
    next_command: str | None = None,
    sources: Path | None = None,
) -> None:
    """Print the report. `case` is its folder, named in the last line; `sources` holds copies of the user's files."""
    if report.verdict == "healthy":
        return
    folders = (sources,) if sources else ()
    print_tight(console, _headline(report))
    _print_sections(console, [*_place_sections(report, console.width, folders), *_reason_sections(report)])
    _print_end(console, case, next_command)


def render_where(report: Report, console: Console) -> None:
    """The first part of the short form: headline, source line, values."""
    if report.verdict != "healthy":
        print_tight(console, _headline(report))
        _print_sections(console, _place_sections(report, console.width, (), rows=BRIEF_ROWS, path=False))


def render_why(
    report: Report, console: Console, *, case: str | Path | None = None, next_command: str | None = None
) -> None:
    """The second part of the short form: the cause, the patch that cures, what does not help."""
    if report.verdict != "healthy":
        _print_sections(console, _brief_reasons(report))
        _print_end(console, case, next_command)


Body = list[Text | Padding]
Section = tuple[Text | None, Body]

BRIEF_ROWS = 4  # tensors
BRIEF_LINES = 4  # evidence, rejected remedies, notes


def _print_sections(console: Console, sections: Iterable[Section]) -> None:
    for title, body in sections:
        console.print()
        if title is not None:
            print_tight(console, title)
        for item in body:
            print_tight(console, item)


def _print_end(console: Console, case: str | Path | None, next_command: str | None) -> None:
    if case is not None:
        console.print()
        print_tight(console, _unwrapped(Text.assemble(("case ", _DIM), str(case))))
        command = next_command or f"whynan show {shlex.quote(str(case))}"
        print_tight(console, _unwrapped(Text.assemble(("next ", _DIM), (command, _HEAD))))


def _place_sections(
    report: Report, width: int, folders: tuple[Path, ...], rows: int | None = None, path: bool = True
) -> Iterator[Section]:
    """Where: the source line, the values, the path."""
    if report.birth:
        if body := _where(report.birth, width, folders):
            yield None, body
        if body := _values(report.birth, rows):
            yield Text("Values", _HEAD), body
    if path and len(report.path) > 1:
        yield Text("Path to the symptom", _HEAD), [_path(report.path)]


def _reason_sections(report: Report) -> Iterator[Section]:
    """Why, and what to do, at length."""
    for i, cause in enumerate(report.causes[:3]):
        yield _cause_title(cause, first=i == 0), _cause(cause)
    for i, remedy in enumerate(report.remedies[:3]):
        yield _remedy_title(remedy, first=i == 0), _remedy(remedy)
    if report.rejected:
        yield Text("Would not have helped", _HEAD), [_rejected(report.rejected)]
    if report.notes:
        yield Text("Notes", _HEAD), [_indented(f"- {note}") for note in report.notes]


def _brief_reasons(report: Report) -> Iterator[Section]:
    """Why, and what to do, on the rest of the screen: the first cause and remedy, the others by a line each."""
    if report.causes:
        first = report.causes[0]
        yield _cause_title(first, first=True), [_indented(first.summary), *_evidence(first.evidence[:BRIEF_LINES])]
        others = [(Text(words.cause_title(c)), Text(words.visible(c.summary), _DIM)) for c in report.causes[1:3]]
        if others:
            yield Text("Less likely", _HEAD), [_rows(*others, ratios=(2, 5))]
    if report.remedies:
        yield _remedy_title(report.remedies[0], first=True), _remedy(report.remedies[0])
        others = [
            (Text(words.visible(r.title)), Text(words.remedy_standing(r), _GOOD if r.verified else "yellow"))
            for r in report.remedies[1:BRIEF_LINES]
        ]
        if others:
            yield Text("Or", _HEAD), [_rows(*others, ratios=(3, 4))]
    if report.rejected:
        yield Text("Would not have helped", _HEAD), [_rejected(report.rejected[:BRIEF_LINES])]
    if report.notes:
        yield Text("Notes", _HEAD), [_indented(f"- {note}") for note in report.notes[:BRIEF_LINES]]


def _rejected(items: Sequence[Rejected]) -> Padding:
    rows = [(Text(item.class_), Text(words.visible(item.why), _DIM)) for item in items]
    return _rows(*rows, ratios=(2, 5))


def _headline(report: Report) -> Text:
    text = Text.assemble(("whynan: ", _DIM), (words.visible(words.headline(report)), _BAD))
    if line := words.symptom_line(report):
        text.append(f"\n        {words.visible(line)}")
    return text


def _where(birth: Birth, width: int, folders: tuple[Path, ...]) -> Body:
    body: Body = []
    if at := words.place(birth.file, birth.line, birth.function):
        body.append(Text.assemble("  ", (words.visible(at), _PLACE)))
    lines = excerpt(birth, folders)
    digits = max((len(str(line.number)) for line in lines), default=0)
    for line in lines:
        wide = cell_len(line.text) - len(line.text)  # characters that take two cells
        cut = window(line, max(20, width - digits - 7 - wide))
        shown = words.visible(cut.text)
        head = f"  {'>' if line.guilty else ' '} {line.number:>{digits}} | "
        body.append(_unwrapped(Text.assemble((head, _DIM), (shown, "" if line.guilty else _DIM))))
        if cut.mark:
            start, end = cut.mark
            blank = " " * (digits + 5) + "| " + " " * cell_len(cut.text[:start])
            body.append(_unwrapped(Text.assemble((blank, _DIM), ("^" * cell_len(cut.text[start:end]), _BAD))))
    if details := words.birth_details(birth):
        body.append(Text(f"  {words.visible(', '.join(details))}", _DIM))
    if birth.note:
        body.append(_indented(birth.note))
    return body


def _values(birth: Birth, limit: int | None = None) -> Body:
    body: Body = []
    if birth.inputs or birth.outputs:
        labelled = [*(("in", tensor) for tensor in birth.inputs), *(("out", tensor) for tensor in birth.outputs)]
        if limit is not None and len(labelled) > limit:  # an optimizer op reads hundreds: the bad ones tell most
            labelled = sorted(labelled, key=lambda pair: pair[1].nonfinite == 0)[:limit]
        rows = [(Text(label, _DIM), Text(words.visible(tensor.name)), _numbers(tensor)) for label, tensor in labelled]
        body.append(_rows(*rows))
    if lines := words.elements(birth):
        body.append(_indented("; ".join(lines)))
    return body


def _numbers(tensor: TensorFacts) -> Text:
    text = Text(numbers.kind(tensor.shape, tensor.dtype), _DIM)
    for part, style in ((words.values(tensor), ""), (words.nonfinite(tensor), _BAD)):
        if part:
            text.append("  ").append(part, style)
    return text


def _path(path: tuple[PathStep, ...]) -> Padding:
    rows = []
    for line in words.path_lines(path):
        if line.step is None:
            rows.append((Text("...", _DIM), Text(f"{line.hidden} more", _DIM), Text()))
            continue
        step = line.step
        where = words.visible("  ".join(words.path_details(step)))
        rows.append((Text(step.state, _STATES[step.state]), Text(step.op), Text(where, _DIM)))
    return _rows(*rows)


def _cause_title(cause: Cause, *, first: bool) -> Text:
    label = "Cause: " if first else "Less likely: "
    return Text.assemble((label, _HEAD), (words.cause_title(cause), _HEAD), " ", _level(cause))


def _level(cause: Cause) -> Text:
    return Text(f"({words.LEVELS[cause.level]})", _LEVELS[cause.level])


def _cause(cause: Cause) -> Body:
    body: Body = [_indented(cause.summary)]
    if cause.evidence:
        rows = [
            (
                Text(words.visible(item.what), _DIM),
                Text(words.visible(item.measured)),
                Text(words.visible(item.means), _DIM),
            )
            for item in cause.evidence
        ]
        body.append(_rows(*rows, ratios=(5, 5, 6)))
    return body


def _evidence(items: Sequence[Evidence]) -> Iterator[Padding]:
    """One sentence for each measurement, over the whole width."""
    for item in items:
        line = Text.assemble(
            ("- ", _DIM), f"{words.visible(item.what)}: ", words.visible(item.measured),
            (f"; {words.visible(item.means)}", _DIM),
        )  # fmt: skip
        yield _hanging(line)


def _hanging(text: Text) -> Padding:
    """Wrapped lines stand under the first word, not under the dash."""
    table = Table.grid(padding=0)
    table.add_row(text[:2], text[2:])
    return Padding(table, (0, 0, 0, 2))


def _remedy_title(remedy: Remedy, *, first: bool) -> Text:
    standing = Text(f"({words.remedy_standing(remedy)})", _GOOD if remedy.verified else "yellow")
    return Text.assemble(("Fix: " if first else "Or: ", _HEAD), (words.visible(remedy.title), _HEAD), " ", standing)


def _remedy(remedy: Remedy) -> Body:
    body: Body = []
    if remedy.advice:
        body.append(_indented(remedy.advice))
    for line in (remedy.patch or "").splitlines():
        style = "" if line[:3] in ("+++", "---") else {"+": _GOOD, "-": "red", "@": _PLACE}.get(line[:1], _DIM)
        body.append(_unwrapped(Text(f"  {words.visible(line)}", style)))
    return body


def _rows(*rows: tuple[Text, ...], ratios: tuple[int, ...] = ()) -> Padding:
    """Columns without lines, indented by two; with `ratios` they share the width and wrap within it."""
    table = Table.grid(padding=(0, 2, 0, 0), expand=bool(ratios))
    for ratio in ratios:
        table.add_column(ratio=ratio)
    for row in rows:
        table.add_row(*row)
    return Padding(table, (0, 0, 0, 2))


def _indented(text: str) -> Padding:
    return Padding(Text(words.visible(text)), (0, 0, 0, 2))


def _unwrapped(text: Text) -> Text:
    text.no_wrap = True
    return text


def print_tight(console: Console, item: Text | Padding) -> None:
    """Print without the blanks that rich fills lines with; code, diffs and commands to copy go out unwrapped."""
    if isinstance(item, Text) and item.no_wrap:
        console.print(item, soft_wrap=True)
        return
    for line in Segment.split_lines(console.render(item)):
        kept = list(line)
        while kept and not kept[-1].text.strip():
            kept.pop()
        if kept:
            kept[-1] = Segment(kept[-1].text.rstrip(), kept[-1].style)
        console.print(Segments([*kept, Segment.line()]), soft_wrap=True, end="")
