"""What a page shows of a report: drawings made, and the list of its sections, each left out where nothing is known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...case.facts import Batch, Birth, Report
from ..excerpt import Line, excerpt
from .bars import Bars, bars
from .diagram import Drawing, drawing
from .heat import Heat, heat
from .plot import Plot, ends_of, plot
from .series import LIMITS, Series, series
from .strips import Strip, shown


@dataclass(frozen=True, kw_only=True)
class View:
    sections: tuple[tuple[str, str], ...]  # (id, title) in order
    lines: tuple[tuple[Line, str, str, str], ...]  # source lines, each also as before, inside and after the mark
    bars: tuple[Bars, ...]
    batch: tuple[tuple[Batch, list[Strip]], ...]
    folded: Drawing | None
    whole: Drawing | None  # None where nothing is folded
    charts: tuple[tuple[Series, Plot], ...]
    marks: tuple[str, ...]  # kinds of values that have no place on an axis, as they occur
    ends: tuple[float, float]  # of the charts' horizontal axis
    events: tuple[tuple[str, int], ...]  # (kind, step)
    heats: tuple[Heat, ...]


def view(report: Report, sources: Path | None = None) -> View:
    """Everything drawn. `sources` holds copies of the user's files."""
    birth = report.birth
    found = series(report.history, _dtype(report))
    ends, events = ends_of(found), _events(report)
    folded = drawing(report.path, folded=True) if len(report.path) > 1 else None
    whole = drawing(report.path, folded=False) if folded and any(box.hidden for box in folded.boxes) else None
    made = View(
        sections=(),
        lines=tuple(map(_pieces, excerpt(birth, (sources,) if sources else ()))) if birth else (),
        bars=_histograms(birth),
        batch=tuple(shown(report.batch, birth.rows if birth else ())),
        folded=folded,
        whole=whole if whole and len(whole.boxes) > len(folded.boxes if folded else ()) else None,
        charts=tuple((one, plot(one, ends, events, report.alerts, report.actions)) for one in found),
        marks=tuple(dict.fromkeys(mark.kind for one in found for mark in one.marks)),
        ends=ends,
        events=events,
        heats=tuple(table for layers in report.layers if (table := heat(layers))),
    )
    return View(**{**vars(made), "sections": _sections(report, made)})


def _histograms(birth: Birth | None) -> tuple[Bars, ...]:
    """Those with an edge first, then those of the op itself."""
    found = [drawn for h in (birth.histograms if birth else ()) if (drawn := bars(h))]
    return tuple(sorted(found, key=lambda drawn: (drawn.histogram.edge is None, " of " in drawn.histogram.name)))


def _sections(report: Report, seen: View) -> tuple[tuple[str, str], ...]:
    birth = report.birth
    known = (
        ("values", "Values", birth and (birth.inputs or birth.outputs or birth.elements or seen.bars)),
        ("batch", "Batch", seen.batch),
        ("story", "Story of the value", seen.folded),
        ("history", "History", seen.charts or report.alerts or report.actions),
        ("layers", "Layers", seen.heats),
        ("evidence", "Evidence", len(report.causes) > 1 or any(cause.evidence for cause in report.causes)),
        ("experiments", "Experiments", report.experiments),
        ("remedies", "Other remedies", len(report.remedies) > 1 or report.rejected),
        ("notes", "Notes", report.notes),
        ("run", "Run", True),
    )
    return tuple((name, title) for name, title, there in known if there)


def _pieces(line: Line) -> tuple[Line, str, str, str]:
    start, end = line.mark or (len(line.text), len(line.text))
    return line, line.text[:start], line.text[start:end], line.text[end:]


def _events(report: Report) -> tuple[tuple[str, int], ...]:
    """The step of the birth, and that of the symptom where it came later."""
    born = report.birth.step if report.birth else None
    seen = report.symptom.step if report.symptom else None
    events = [] if born is None else [("born", born)]
    return tuple(events + ([("noticed", seen)] if seen is not None and seen != born else []))


def _dtype(report: Report) -> str | None:
    """The floating-point type in which the value was born, for the limit in the chart of the largest value."""
    birth = report.birth
    tensors = (*birth.outputs, *birth.inputs) if birth else ()
    return next((t.dtype for t in tensors if t.dtype.removeprefix("torch.") in LIMITS), None)
