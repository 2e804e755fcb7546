"""A report as one HTML page that opens from a file without any network.

Everything is in the page: styles, scripts, the chart library, the data. The Content-Security-Policy names the hashes of
these very styles and scripts, so nothing else can run even if it got in. Every text of the user's goes through jinja2's
autoescape and `words.visible`; data for the scripts is JSON without `<`, `>` and `&`. Drawings are made here, as SVG,
so the page says the same on paper and without scripts; those add hovering, zooming and copying.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from ...case import strict_json
from ...case.facts import Report
from .. import numbers, words
from . import assets, texts
from .sections import View, view


def page(report: Report, *, sources: Path | None = None) -> str:
    """The text of the page. `sources` holds copies of the user's files, as in a case folder."""
    seen = view(report, sources)
    style, library, script = assets.style(), assets.library(), assets.script()
    return (
        _environment()
        .get_template("report.html.jinja")
        .render(
            report=report,
            view=seen,
            style=style,
            library=library,
            script=script,
            data=htmlsafe_json_dumps(_data(report, seen), dumps=strict_json.dumps),
            policy=_policy(style, library, script),
        )
    )


def _policy(style: str, *scripts: str) -> str:
    """Nothing may be fetched, sent or embedded; only our own inline text runs."""
    hashes = " ".join(assets.source_hash(script) for script in scripts)
    return (
        f"default-src 'none'; script-src {hashes}; style-src {assets.source_hash(style)}; "
        "base-uri 'none'; form-action 'none'"
    )


def _data(report: Report, seen: View) -> dict[str, Any]:
    """What the scripts need. Numbers have six digits here; the report itself is in the case folder."""
    return {
        "ends": seen.ends,
        "charts": [
            {
                "title": series.title,
                "unit": series.unit,
                "axis": series.axis,
                "low": series.low,
                "high": series.high,
                "limit": series.limit,
                "steps": [_short(step) for step, _ in series.points],
                "values": [_short(value) for _, value in series.points],
                "marks": [[mark.first, mark.last, mark.kind, mark.count] for mark in series.marks],
            }
            for series, _ in seen.charts
        ],
        "events": seen.events,
        "alerts": [[alert.step, f"{alert.kind}: {alert.message}"] for alert in report.alerts],
        "actions": [[action.step, f"{action.kind}: {action.message}"] for action in report.actions],
        "patches": [remedy.patch for remedy in report.remedies],
    }


def _short(value: float | None) -> float | int | None:
    if value is None:
        return None
    return int(value) if value == int(value) and abs(value) < 2**53 else float(f"{value:.6g}")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("whynan.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_visible,
    )
    environment.globals.update(words=words, numbers=numbers, texts=texts)
    environment.filters["prose"] = texts.prose
    return environment


def _visible(value: Any) -> Any:
    """Control characters in any text that is put into the page are spelled out."""
    return words.visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value
