"""A report as one HTML page that opens without a network: styles and charts inlined, no script.

Every text of the user's goes through jinja2's autoescape; the template marks nothing as safe. The page is built from
the same sentences as the terminal (`words`) and the same source excerpt.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from ..case.facts import Report
from . import charts, numbers, words
from .excerpt import Line, excerpt

_PATCH_KINDS = {"+": "added", "-": "removed", "@": "hunk"}


def page(report: Report, *, sources: Path | None = None) -> str:
    """The text of the page. `sources` holds copies of the user's files, as in a case folder."""
    template = _environment().get_template("report.html.jinja")
    return template.render(
        report=report,
        lines=_marked(excerpt(report.birth, (sources,) if sources else ())) if report.birth else [],
        charts=charts.charts(report.history),
        chart_size=(charts.WIDTH, charts.HEIGHT),
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("whynan.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(words=words, numbers=numbers, patch_lines=_patch_lines)
    environment.filters["visible"] = words.visible
    return environment


def _marked(lines: list[Line]) -> list[dict[str, Any]]:
    """Every source line in three pieces: before the expression, the expression, after it."""
    pieces = []
    for line in lines:
        start, end = line.mark or (len(line.text), len(line.text))
        before, marked, after = line.text[:start], line.text[start:end], line.text[end:]
        pieces.append(
            {"number": line.number, "guilty": line.guilty, "before": before, "marked": marked, "after": after}
        )
    return pieces


def _patch_lines(patch: str) -> list[tuple[str, str]]:
    """(kind, text) of the lines of a unified diff; the kinds are class names of the page."""
    return [
        ("file" if line[:3] in ("+++", "---") else _PATCH_KINDS.get(line[:1], "same"), line)
        for line in patch.splitlines()
    ]
