"""A report in a notebook: the page, in a frame of its own so that neither styles nor scripts meet the notebook's."""

from __future__ import annotations

import html

from ..case.facts import Report
from . import words

HEIGHT = 640  # pixels; the frame scrolls


def notebook(report: Report) -> str:
    """HTML for `_repr_html_`."""
    if report.verdict == "healthy":
        return "<p>whynan: nothing non-finite was found.</p>"
    from .page import page

    return frame(page(report), f"whynan: {words.headline(report)}")


def frame(page: str, title: str) -> str:
    """A page in a frame of a notebook."""
    return (
        f'<iframe title="{html.escape(title, quote=True)}" sandbox="allow-scripts allow-popups" '
        f'style="width:100%;height:{HEIGHT}px;border:1px solid #8884;border-radius:6px" '
        f'srcdoc="{html.escape(page, quote=True)}"></iframe>'
    )
