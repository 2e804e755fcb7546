"""Styles and scripts of the page as text, put together from small files of the package."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files

from markupsafe import Markup

_ROOT = files("whynan.report") / "assets"
_STYLES = ("vendor/uPlot.min.css", "css/tokens.css", "css/base.css", "css/code.css", "css/hero.css", "css/tables.css",
           "css/diagram.css", "css/charts.css", "css/heat.css", "css/print.css")  # fmt: skip
_SCRIPTS = ("js/numbers.js", "js/theme.js", "js/copy.js", "js/marks.js", "js/chart.js", "js/diagram.js", "js/heat.js",
            "js/reading.js", "js/main.js")  # fmt: skip


@cache
def style() -> Markup:
    """All style sheets. They are ours: nothing of the user's is in them."""
    return Markup("\n".join(_read(name) for name in _STYLES))


@cache
def library() -> Markup:
    """The chart library, unchanged."""
    return Markup(_read("vendor/uPlot.iife.min.js"))


@cache
def script() -> Markup:
    """Our scripts in one scope of their own."""
    body = "\n".join(_read(name) for name in _SCRIPTS)
    return Markup(f'(() => {{\n"use strict";\n{body}\n}})();')


def source_hash(text: str) -> str:
    """The source expression of a Content-Security-Policy that allows exactly this inline text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _read(name: str) -> str:
    text = (_ROOT / name).read_text(encoding="utf-8").strip()
    assert "</script" not in text.lower() and "</style" not in text.lower(), name
    return text
