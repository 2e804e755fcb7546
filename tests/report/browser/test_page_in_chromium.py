"""The page as a person meets it: loaded from a file in Chromium, clicked through, walked by keyboard, printed."""

from __future__ import annotations

import dataclasses
import html
from pathlib import Path
from typing import Any

import pytest

from report.browser.samples import HOSTILE, PATCH, complete
from whynan.case.facts import Report, Run
from whynan.report.page import page

CHECKS = (Path(__file__).parent / "checks.js").read_text(encoding="utf-8")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_loads_without_complaints_and_anybody_can_read_it(visit: Any, theme: str) -> None:
    opened = visit("report", theme=theme)
    opened.tab.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    opened.tab.check("#numbers")
    found = opened.tab.evaluate(CHECKS)
    assert found == {"nameless": [], "order": [], "landmarks": [], "twice": [], "faint": []}
    assert opened.complaints == []
    assert len(opened.requests) == 1 and opened.requests[0].startswith("file://")


def test_the_checks_can_fail(visit: Any) -> None:
    opened = visit("report")
    opened.tab.evaluate(
        """document.querySelector("main").insertAdjacentHTML("beforeend",
        "<h4 id=theme>skips</h4><button></button><span id=pale>pale</span>");
        document.getElementById("pale").style.color = "#aaa"; document.querySelector("footer").remove();"""
    )
    found = opened.tab.evaluate(CHECKS)
    assert [len(found[check]) for check in ("nameless", "order", "landmarks", "twice", "faint")] == [1, 1, 1, 1, 1]


@pytest.mark.parametrize("width", [380, 1600])
@pytest.mark.parametrize("name", ["report", "hostile"])
def test_nothing_is_wider_than_the_screen(visit: Any, name: str, width: int) -> None:
    tab = visit(name, width=width).tab
    assert tab.evaluate("document.documentElement.scrollWidth") <= width


def test_hostile_text_stays_text(visit: Any) -> None:
    opened = visit("hostile")
    tab = opened.tab
    tab.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    for box in tab.query_selector_all("svg:not([hidden]) [data-step]"):
        box.dispatch_event("click")
    for cell in tab.query_selector_all(".heat td")[:3]:
        cell.hover()
    tab.focus("[data-chart]")
    tab.keyboard.press("End")
    assert tab.evaluate("document.querySelectorAll('script').length") == 3
    assert tab.evaluate("document.querySelectorAll('img, [onerror]').length") == 0
    assert tab.evaluate("typeof attack") == "undefined"
    assert "<script>attack()</script>" in tab.inner_text("#panel")
    assert opened.complaints == [] and len(opened.requests) == 1
    tab.click("[data-copy='0']")
    tab.wait_for_function("document.querySelector('[data-copy]').textContent === 'Copied'")
    assert tab.evaluate("navigator.clipboard.readText()") == HOSTILE


def test_injected_scripts_do_not_run(visit: Any) -> None:
    opened = visit("report")
    opened.tab.evaluate(
        """const script = document.createElement("script"); script.textContent = "window.ran = true";
        document.body.append(script);
        document.body.insertAdjacentHTML("beforeend", "<img src=x onerror='window.ran = true'>");
        fetch("https://example.org").catch(() => { window.refused = true; })"""
    )
    opened.tab.wait_for_function("window.refused")
    assert opened.tab.evaluate("window.ran") is None
    assert sum("Content Security Policy" in text for text in opened.complaints) >= 3
    assert not [url for url in opened.requests if url.startswith("http")]


def test_the_patch_is_copied(visit: Any) -> None:
    tab = visit("report").tab
    tab.click("[data-copy='0']")
    tab.wait_for_function("document.querySelector('[data-copy]').textContent === 'Copied'")
    assert tab.evaluate("navigator.clipboard.readText()") == PATCH


def test_the_patch_is_copied_without_a_clipboard(visit: Any) -> None:
    tab = visit("report").tab
    tab.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('no')) }")
    tab.click("[data-copy='0']")
    tab.wait_for_function("document.querySelector('[data-copy]').textContent === 'Copied'")
    assert tab.evaluate("navigator.clipboard.readText()") == PATCH


def test_the_theme_can_be_chosen(visit: Any) -> None:
    tab = visit("report", theme="dark").tab
    paper = "getComputedStyle(document.body).backgroundColor"
    dark = tab.evaluate(paper)
    tab.click("#theme")
    assert tab.inner_text("#theme") == "Theme: light" and tab.evaluate(paper) != dark
    tab.click("#theme")
    assert tab.inner_text("#theme") == "Theme: dark" and tab.evaluate(paper) == dark


def test_the_story_by_mouse(visit: Any) -> None:
    tab = visit("report").tab
    assert "aten::log" in tab.inner_text("#panel"), "the birth is chosen at first"
    tab.click(".story-folded [data-step='12']")
    assert "aten::sigmoid" in tab.inner_text("#panel") and "torch.sigmoid(logits)" in tab.inner_text("#panel")
    width = "parseFloat(document.querySelector('.story-folded').getAttribute('width'))"
    before = tab.evaluate(width)
    tab.click("[data-zoom=in]")
    assert tab.evaluate(width) == pytest.approx(before * 1.25)
    tab.click("[data-zoom=fit]")
    assert tab.evaluate(width) <= tab.evaluate("document.querySelector('.canvas').clientWidth")
    for _ in range(8):
        tab.click("[data-zoom=in]")
    box = tab.query_selector(".canvas").bounding_box()
    scroll = "[document.querySelector('.canvas').scrollLeft, document.querySelector('.canvas').scrollTop]"
    at = tab.evaluate(scroll)
    tab.mouse.move(box["x"] + 200, box["y"] + 200)
    tab.mouse.down()
    tab.mouse.move(box["x"] + 100, box["y"] + 120)
    tab.mouse.up()
    after = tab.evaluate(scroll)
    assert (after[0] - at[0], after[1] - at[1]) == (100, 80)
    tab.click("[data-unfold]")
    assert tab.is_visible(".story-whole") and not tab.is_visible(".story-folded")
    assert tab.locator(".story-whole [data-step]").count() == 17
    tab.click("[data-unfold]")
    assert tab.is_visible(".story-folded")
    tab.dispatch_event(".story-folded [data-fold]", "click")
    assert tab.is_visible(".story-whole")


def test_the_story_by_keyboard(visit: Any) -> None:
    tab = visit("report").tab
    tab.focus(".canvas")
    tab.keyboard.press("Tab")
    at = "document.activeElement.dataset.step"
    assert tab.evaluate(at) == "14"
    tab.keyboard.press("ArrowDown")
    assert tab.evaluate(at) == "15" and "aten::mul" in tab.inner_text("#panel")
    tab.keyboard.press("Home")
    assert tab.evaluate("'fold' in document.activeElement.dataset")
    tab.keyboard.press("Enter")
    assert tab.is_visible(".story-whole") and tab.evaluate(at) == "15"
    assert tab.locator("[role=option][tabindex='0']:visible").count() == 1


def test_the_charts_by_keyboard_and_mouse(visit: Any) -> None:
    tab = visit("report").tab
    loss = tab.locator("[data-chart='0']")
    readout = tab.locator(".charts figure").first.locator(".readout")
    assert tab.locator(".chart canvas").count() == 6 and not tab.locator(".chart .static").first.is_visible()
    loss.focus()
    tab.keyboard.press("End")
    assert readout.inner_text() == "step 186: NaN" == loss.get_attribute("aria-valuetext")
    tab.keyboard.press("ArrowLeft")
    assert readout.inner_text().startswith("step 185: 0.")
    for _ in range(14):
        tab.keyboard.press("ArrowLeft")
    assert "underflow" in readout.inner_text()
    over = loss.locator(".u-over").bounding_box()
    middle = over["y"] + over["height"] / 2
    tab.mouse.move(over["x"] + over["width"] * 0.5, middle)
    assert readout.inner_text().startswith("step 93:")
    shown = lambda: [text for text in readout.inner_text().split() if text]  # noqa: E731
    tab.mouse.down()
    tab.mouse.move(over["x"] + over["width"] * 0.75, middle, steps=3)
    tab.mouse.up()
    tab.mouse.move(over["x"] + over["width"] * 0.5, middle + 1)
    assert 110 < int(shown()[1].rstrip(":")) < 125, "the middle of the middle"
    tab.mouse.dblclick(over["x"] + over["width"] * 0.5, middle)
    tab.mouse.move(over["x"] + over["width"] * 0.5, middle)
    assert shown()[1] == "93:"
    tab.click("[data-last='20']")
    assert tab.get_attribute("[data-last='20']", "aria-pressed") == "true"
    tab.mouse.move(over["x"] + 1, middle)
    assert shown()[1] == "166:"


def test_heat_maps_say_their_numbers(visit: Any) -> None:
    tab = visit("report").tab
    cell = tab.locator(".heat td").nth(3)
    cell.hover()
    assert "embedding, step 154: 0.00" in tab.inner_text(".heat .readout")
    assert cell.locator("span").bounding_box()["width"] <= 1
    tab.check("#numbers")
    assert cell.locator("span").bounding_box()["width"] > 10


def test_every_control_is_reached_by_tab(visit: Any) -> None:
    tab = visit("report").tab
    wanted = tab.evaluate(
        """[...document.querySelectorAll("button, a[href], input, summary, [tabindex='0']")]
        .filter((e) => e.checkVisibility()).map((e, i) => (e.dataset.order = i, i))"""
    )
    reached = []
    for _ in range(len(wanted) + 5):
        tab.keyboard.press("Tab")
        reached.append(tab.evaluate("document.activeElement.dataset.order"))
    assert set(map(str, wanted)) <= set(reached)


def test_it_says_the_same_without_scripts(visit: Any) -> None:
    tab = visit("report", scripts=False).tab
    assert tab.locator(".chart .static").first.is_visible() and tab.is_visible(".story-folded")
    assert not tab.locator("button").first.is_visible()


def test_it_works_in_the_frame_of_a_notebook(visit: Any) -> None:
    opened = visit("report")
    frame = f'<iframe sandbox="allow-scripts" srcdoc="{html.escape(page(complete()), quote=True)}"></iframe>'
    opened.tab.set_content(frame)
    inside = opened.tab.frame_locator("iframe")
    inside.locator(".story-folded [data-step='12']").dispatch_event("click")
    assert "aten::sigmoid" in inside.locator("#panel").inner_text()
    assert inside.locator(".chart canvas").count() == 6
    assert opened.complaints == []


def test_it_prints(visit: Any, tmp_path: Path) -> None:
    tab = visit("report", theme="dark").tab
    tab.emulate_media(media="print")
    assert tab.locator(".chart .static").first.is_visible() and not tab.locator(".chart canvas").first.is_visible()
    assert tab.evaluate("getComputedStyle(document.body).color") == "rgb(27, 29, 33)", "dark ink on white paper"
    pdf = tab.pdf(path=tmp_path / "report.pdf")
    assert pdf.startswith(b"%PDF") and 3 <= pdf.count(b"/Type /Page\n") <= 12


@pytest.mark.parametrize(
    "report",
    [
        Report(verdict="healthy", run=Run(script="train.py", steps=10, seconds=2.0)),
        dataclasses.replace(complete(), history={"loss": [1.0], "grad_norm": []}, path=(), layers=()),
        dataclasses.replace(complete(), history={"loss": [float("nan")] * 5}, remedies=(), birth=None),
    ],
    ids=["healthy", "one value", "only NaN"],
)
def test_reports_with_little_in_them(visit: Any, report: Report) -> None:
    opened = visit(report)
    assert opened.tab.is_visible("h1") and opened.complaints == []
    found = opened.tab.evaluate(CHECKS)
    assert found == {"nameless": [], "order": [], "landmarks": [], "twice": [], "faint": []}
