"""The page: escaped, self-contained, complete, small, and the same words as the terminal."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from html.parser import HTMLParser

import pytest
from hypothesis import HealthCheck, given, settings

from case.strategies import REPORTS
from messages.reports import ALL
from messages.reports import complete as terse
from report.browser.samples import HOSTILE, PATCH, complete, history, hostile
from whynan.case.facts import Report, Run
from whynan.report.page import page
from whynan.report.page.assets import source_hash

SECTIONS = "values batch story history layers evidence experiments remedies notes run".split()


class Tags(HTMLParser):
    """Every tag of a page with its attributes, its text, and whether the tags close in order."""

    VOID = {"meta", "br", "link", "img", "input"}

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.scripts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("script", "style"):
            self.scripts.append(data)


def tags(text: str) -> Tags:
    parser = Tags()
    parser.feed(text)
    assert parser.open == []
    return parser


def ids(text: str) -> set[str | None]:
    return {attrs.get("id") for _, attrs in tags(text).seen}


@pytest.mark.parametrize("name", [*ALL, "everything"])
def test_pages_are_whole_and_offline(name: str) -> None:
    seen = tags(page({**ALL, "everything": complete}[name]())).seen
    assert not {tag for tag, _ in seen} & {"link", "img", "iframe", "object", "base", "form"}
    for tag, attrs in seen:
        assert "src" not in attrs and "style" not in attrs, tag
        assert not [key for key in attrs if key.startswith("on")], tag
        assert attrs.get("href", "#").startswith("#")


def test_the_policy_allows_our_scripts_and_nothing_else() -> None:
    parser = tags(page(complete()))
    policy = next(attrs["content"] for _, attrs in parser.seen if attrs.get("http-equiv"))
    assert policy is not None and policy.startswith("default-src 'none';")
    assert "unsafe" not in policy and "http" not in policy
    style, data, library, script = parser.scripts
    for text in (style, library, script):
        assert source_hash(text) in policy
    assert source_hash(data) not in policy


def test_every_section_is_there_and_leads_somewhere() -> None:
    text = page(complete())
    assert set(SECTIONS) <= ids(text)
    links = [attrs["href"] for tag, attrs in tags(text).seen if tag == "a"]
    assert {link[1:] for link in links if link} <= ids(text)


@pytest.mark.parametrize(
    "section, without",
    [
        ("batch", {"batch": ()}),
        ("story", {"path": ()}),
        ("history", {"history": {}, "alerts": (), "actions": ()}),
        ("layers", {"layers": ()}),
        ("evidence", {"causes": ()}),
        ("experiments", {"experiments": ()}),
        ("remedies", {"remedies": (), "rejected": ()}),
        ("notes", {"notes": ()}),
    ],
)
def test_a_section_without_facts_is_left_out(section: str, without: dict) -> None:
    missing = ids(page(dataclasses.replace(complete(), **without)))
    assert section not in missing and set(SECTIONS) - {section} <= missing


def test_what_the_user_wrote_is_escaped_everywhere() -> None:
    evil, good = page(hostile(complete())), page(complete())
    assert [tag for tag, _ in tags(evil).seen if tag == "script"] == ["script"] * 3
    assert "<img" not in evil and "attack()" in evil
    assert "<script>attack" not in evil and "{{7*7}}" in evil
    assert "\u2028" not in evil and "\x1b" not in evil
    assert evil.count("<!--") == good.count("<!--") == 0


def test_the_data_of_the_scripts_is_strict_json_that_closes_nothing() -> None:
    data = tags(page(hostile(complete()))).scripts[1]
    assert not set(data) & set("<>&'\u2028\u2029")
    assert json.loads(data)["patches"][0] == HOSTILE


def test_the_patch_can_be_copied_as_it_is() -> None:
    assert json.loads(tags(page(complete())).scripts[1])["patches"][0] == PATCH


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(REPORTS)
def test_any_report_has_a_page(report: Report) -> None:
    json.loads(tags(page(report)).scripts[1])


def test_a_healthy_page() -> None:
    text = page(Report(verdict="healthy", run=Run(script="train.py", steps=10, seconds=2.0)))
    assert "Nothing non-finite was found" in text and "train.py, 10 steps in 2.0 s" in text
    assert not ids(text) & (set(SECTIONS) - {"run"})


def test_the_trial_is_told_with_its_numbers() -> None:
    text = re.sub(r"<[^>]+>|\s+", " ", page(terse()))
    assert re.search(r"Steps\s+50\s+Result\s+all finite\s+Loss\s+2\.31\s+→\s+to\s+0\.88", text)


def test_an_ordinary_page_is_small() -> None:
    assert len(page(complete()).encode()) < 300_000


def test_the_largest_page_that_can_be_recorded() -> None:
    """As many tensors, layers, steps and ops as the recorder keeps at most."""
    report = complete()
    batch = dataclasses.replace(
        report.batch[0],
        shape=(256, 256),
        row_absmax=(1.5,) * 256,
        column_absmax=(1.5,) * 256,
        indices=tuple(range(256)),
    )
    steps = tuple(range(64))
    layers = dataclasses.replace(
        report.layers[0], steps=steps, names=tuple(f"layers.{i}" for i in range(48)), values=((1.2345e-6,) * 64,) * 48
    )
    path = report.path[:-1] * 4
    whole = dataclasses.replace(report, batch=(batch,) * 12, layers=(layers,) * 3, path=path, history=history(512))
    assert len(page(whole).encode()) < 600_000


def test_a_long_history_is_thinned_and_keeps_what_is_not_finite() -> None:
    report = dataclasses.replace(complete(), history=history(100_000))
    text = page(report)
    assert len(text.encode()) < 400_000
    charts = {chart["title"]: chart for chart in json.loads(tags(text).scripts[1])["charts"]}
    assert charts["Loss"]["marks"] == [[99_999.0, 99_999.0, "NaN", 1]]
    assert [mark[2] for mark in charts["Gradient norm"]["marks"] if mark[2] != "0"] == ["Inf"]
    zeros = sum(1 for value in report.history["grad_norm"] if value == 0)
    assert sum(mark[3] for mark in charts["Gradient norm"]["marks"] if mark[2] == "0") == zeros
    known = [value for value in report.history["loss"] if math.isfinite(value)]
    shown = [value for value in charts["Loss"]["values"] if value is not None]
    assert max(shown) == pytest.approx(max(known), rel=1e-5) and min(shown) == pytest.approx(min(known), rel=1e-5)
