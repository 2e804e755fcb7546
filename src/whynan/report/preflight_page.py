"""What `whynan check` found as one page, in the style of the report page; no scripts in it."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined

from ..case.preflight import Preflight
from . import preflight, words
from .notebook import frame
from .page import assets


def page(answer: Preflight) -> str:
    """The text of the page. Everything of the user's is escaped; nothing is fetched from anywhere."""
    environment = Environment(
        loader=PackageLoader("whynan.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["visible"] = words.visible
    style = assets.style()
    return environment.get_template("check.html.jinja").render(
        answer=answer,
        style=style,
        policy=f"default-src 'none'; style-src {assets.source_hash(style)}; base-uri 'none'; form-action 'none'",
        parts=preflight.by_part(answer),
        tables=list(preflight.tables(answer)),
        preflight=preflight,
    )


def notebook(answer: Preflight) -> str:
    """The page in a frame of its own, for `_repr_html_`."""
    return frame(page(answer), f"whynan check: {preflight.counted(answer)}")
