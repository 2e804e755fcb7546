"""One Chromium for all browser tests, driven by playwright; they skip where either is missing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from report.browser.samples import complete, hostile
from whynan.case.facts import Report
from whynan.report.page import page

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@dataclass
class Opened:
    """A page in a tab, and what it complained about or asked the network for."""

    tab: Any
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A running browser. WHYNAN_CHROMIUM names its program where it has another name."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (pip install playwright)")
    program = os.environ.get("WHYNAN_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip("no Chromium found: install it, or set WHYNAN_CHROMIUM to its program")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """report.html and hostile.html, as they would be opened from a case folder."""
    place = tmp_path_factory.mktemp("pages")
    for name, report in {"report": complete(), "hostile": hostile(complete())}.items():
        (place / f"{name}.html").write_text(page(report), encoding="utf-8")
    return place


@pytest.fixture
def visit(chromium: Any, folder: Path) -> Iterator[Any]:
    """visit("report", width=380, theme="dark") opens a page from file:// in a tab of its own."""
    contexts = []

    def opened(name: str | Report, *, width: int = 1280, theme: str = "light", scripts: bool = True) -> Opened:
        path = folder / f"{name}.html"
        if isinstance(name, Report):
            path = folder / "other.html"
            path.write_text(page(name), encoding="utf-8")
        context = chromium.new_context(
            viewport={"width": width, "height": 800},
            color_scheme=theme,
            reduced_motion="reduce",
            java_script_enabled=scripts,
            permissions=["clipboard-read", "clipboard-write"],
        )
        contexts.append(context)
        found = Opened(tab=context.new_page())
        found.tab.on("console", lambda message: found.complaints.append(message.text))
        found.tab.on("pageerror", lambda error: found.complaints.append(str(error)))
        found.tab.on("dialog", lambda dialog: (found.complaints.append("a dialog"), dialog.dismiss()))
        found.tab.on("request", lambda request: found.requests.append(request.url))
        found.tab.goto(path.as_uri())
        return found

    yield opened
    for context in contexts:
        context.close()
