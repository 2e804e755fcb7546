"""One series as a static SVG chart, for paper and for readers without scripts. Only geometry; the template draws."""

from __future__ import annotations

from dataclasses import dataclass

from ...case.facts import Alert
from .. import numbers
from .scale import scaled, ticks
from .series import Mark, Series

WIDTH, HEIGHT = 400, 170
LEFT, RIGHT, TOP, BOTTOM = 48, 10, 14, 24


@dataclass(frozen=True, kw_only=True)
class Glyph:
    """A mark of some kind at a place of the drawing, with the words that explain it."""

    x: float
    y: float
    kind: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Plot:
    """A chart ready for the template; coordinates in the units of its view box, WIDTH by HEIGHT."""

    lines: tuple[str, ...]
    dots: tuple[tuple[float, float], ...]
    glyphs: tuple[Glyph, ...]
    rows: tuple[tuple[float, str], ...]  # horizontal grid lines
    columns: tuple[tuple[float, str], ...]  # labels under the axis
    events: tuple[Glyph, ...]  # steps that matter, as vertical lines; y is not used
    limit: float | None


def plot(
    series: Series,
    ends: tuple[float, float],
    events: tuple[tuple[str, int], ...] = (),
    alerts: tuple[Alert, ...] = (),
    actions: tuple[Alert, ...] = (),
) -> Plot:
    """The chart of a series between two steps. `events` are (kind, step), e.g. ("born", 186)."""
    runs: list[list[tuple[float, float]]] = [[]]
    for step, value in series.points:
        if value is None:
            runs.append([])
        else:
            runs[-1].append((_x(step, ends), _y(scaled(value, series.axis), series)))
    floor = HEIGHT - BOTTOM
    glyphs = [
        Glyph(x=_x(mark.first, ends), y=floor if mark.kind in ("-Inf", "0") else TOP, kind=mark.kind, text=_words(mark))
        for mark in series.marks
    ]
    if series.unit == "step":
        glyphs += [_alert(alert, "alert", ends, floor) for alert in alerts]
        glyphs += [_alert(alert, "action", ends, floor) for alert in actions]
    else:
        events = ()
    return Plot(
        lines=tuple(" ".join(f"{x},{y}" for x, y in run) for run in runs if len(run) > 1),
        dots=tuple(run[0] for run in runs if len(run) == 1),
        glyphs=tuple(glyphs),
        rows=tuple((_y(place, series), text) for place, text in ticks(series.low, series.high, series.axis, 4)),
        columns=tuple((_x(place, ends), text) for place, text in ticks(*ends, about=4)),
        events=tuple(
            Glyph(x=_x(step, ends), y=0, kind=kind, text=f"{kind} at step {step}")
            for kind, step in events
            if ends[0] <= step <= ends[1]
        ),
        limit=_y(scaled(series.limit, series.axis), series) if series.limit else None,
    )


def summary(series: Series) -> str:
    """The chart in a sentence, for those who do not see it."""
    parts = [f"{series.title}: {series.length:,} values"]
    if series.smallest is not None and series.largest is not None:
        parts.append(f"from {numbers.number(series.smallest)} to {numbers.number(series.largest)}")
    parts.append(f"last {numbers.number(series.latest)}")
    parts += [_words(mark) for mark in series.marks[:3] if mark.kind != "0"]
    return ", ".join(parts)


def ends_of(series: list[Series]) -> tuple[float, float]:
    """The steps at both ends of the common horizontal axis."""
    steps = [step for one in series if one.unit == "step" for step, _ in one.points]
    if not steps:
        steps = [step for one in series for step, _ in one.points] or [0.0]
    low, high = min(steps), max(steps)
    return (low, high) if high > low else (low - 1, high + 1)


def _words(mark: Mark) -> str:
    where = f"step {mark.first:.0f}" if mark.first == mark.last else f"steps {mark.first:.0f} to {mark.last:.0f}"
    return f"{mark.kind} at {where}" + (f" ({mark.count:,} times)" if mark.count > 1 else "")


def _alert(alert: Alert, kind: str, ends: tuple[float, float], floor: float) -> Glyph:
    return Glyph(x=_x(alert.step, ends), y=floor, kind=kind, text=f"step {alert.step}: {alert.kind}: {alert.message}")


def _x(step: float, ends: tuple[float, float]) -> float:
    share = (min(max(step, ends[0]), ends[1]) - ends[0]) / (ends[1] - ends[0])
    return round(LEFT + (WIDTH - LEFT - RIGHT) * share, 1)


def _y(position: float, series: Series) -> float:
    share = (position - series.low) / (series.high - series.low)
    return round(HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * share, 1)
