"""The page: escaped, self-contained, and the same words as the terminal; its charts survive NaN."""

from __future__ import annotations

import dataclasses
import math
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from case.strategies import REPORTS
from messages.reports import ALL, complete
from whynan.case.facts import Report, Run
from whynan.report.charts import HEIGHT, charts
from whynan.report.page import page

EVIL = "</pre><script>alert(1)</script>\"'&{{ 7 * 7 }}"


class Tags(HTMLParser):
    """Every tag of a page, and whether they close in order."""

    VOID = {"meta", "br", "link"}

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def tags(text: str) -> list[str]:
    parser = Tags()
    parser.feed(text)
    assert parser.open == []
    return parser.seen


@pytest.mark.parametrize("name", ALL)
def test_pages_are_whole_and_offline(name: str) -> None:
    text = page(ALL[name]())
    seen = tags(text)
    assert "script" not in seen and "link" not in seen and "img" not in seen
    assert not re.search(r"(src|href)=|https?://|url\(|@import", text)
    assert "default-src 'none'" in text


def test_the_users_text_is_escaped() -> None:
    report = complete()
    assert report.birth is not None
    evil = dataclasses.replace(
        report,
        run=dataclasses.replace(report.run, script=EVIL),
        birth=dataclasses.replace(
            report.birth, source=EVIL, file=EVIL, function=EVIL, note=EVIL, tensor=EVIL, module=EVIL
        ),
        history={EVIL: [1.0, 2.0]},
        causes=(dataclasses.replace(report.causes[0], summary=EVIL, class_=EVIL),),
        remedies=(dataclasses.replace(report.remedies[0], title=EVIL, patch=EVIL, advice=EVIL),),
        notes=(EVIL,),
    )
    text = page(evil)
    assert "script" not in tags(text)
    assert "<script" not in text and "49" not in text.split("</style>")[1]
    assert "&lt;script&gt;" in text


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(REPORTS)
def test_any_report_has_a_page(report: Report) -> None:
    tags(page(report))


def test_a_healthy_page() -> None:
    text = page(Report(verdict="healthy", run=Run(script="train.py", steps=10, seconds=2.0)))
    assert "Nothing non-finite was found" in text and "train.py, 10 steps in 2.0 s" in text


def chart(*series: Any, **others: list[Any]):
    (made,) = charts({"loss": list(series), **others})
    return made


def test_nan_breaks_the_line() -> None:
    made = chart(1.0, 2.0, math.nan, 3.0, math.inf, 4.0, 5.0, -math.inf, None)
    assert len(made.lines) == 2 and len(made.dots) == 1
    assert [kind for _, kind in made.marks] == ["nan", "inf", "-inf"]
    assert (made.low, made.high, made.latest) == ("1", "5", "-inf")


def test_the_axis_is_logarithmic_where_it_helps() -> None:
    assert chart(1e-3, 1e3).logarithmic
    assert not chart(1.0, 50.0).logarithmic
    assert not chart(-1.0, 1e6).logarithmic
    assert not chart(0.0, 1e6).logarithmic


@pytest.mark.parametrize(
    "series", [[3.0], [3.0, 3.0], [math.nan], [-1.7e308, 1.7e308], [5e-324, 1.7e308], [True, 1, "x"]]
)
def test_odd_series(series: list[Any]) -> None:
    made = chart(*series)
    for points in made.lines:
        heights = [float(point.split(",")[1]) for point in points.split()]
        assert all(0 <= height <= HEIGHT for height in heights)


def test_a_nearly_constant_series_is_flat() -> None:
    (line,) = chart(0.99999921, 1.0, 0.99999949).lines
    assert len({point.split(",")[1] for point in line.split()}) == 1


def test_series_find_their_steps() -> None:
    made = chart(1.0, 2.0, loss_step=[7, 8], step=[1, 2, 3], iteration=[5])
    assert (made.first, made.last) == ("step 7", "step 8")
    assert chart(1.0, 2.0, step=[3, 4]).last == "step 4"
    assert chart(1.0, 2.0).last == "entry 1"
    assert charts({"step": [1, 2], "words": ["a"]}) == []
