"""Every block of docs/explanation/folklore.md runs, and its assertions hold."""

import re
import warnings
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "folklore.md"
SECTION = re.compile(r"^## (?P<title>.+?)$(?P<body>.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```python\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)


def sections() -> list[tuple[str, str]]:
    return [(m["title"], m["body"]) for m in SECTION.finditer(PAGE.read_text())]


def anchor(title: str) -> str:
    """The anchor of a heading as code hosts make it."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


@pytest.mark.parametrize(("title", "body"), sections(), ids=[title for title, _ in sections()])
def test_block_runs(title: str, body: str) -> None:
    blocks = [m["code"] for m in BLOCK.finditer(body)]
    assert blocks, f"{title}: no example"
    for code in blocks:
        assert "assert " in code, f"{title}: an example without an assertion"
        with warnings.catch_warnings():
            exec(compile(code, f"{PAGE.name}: {title}", "exec"), {"__name__": "folklore"})


def test_table_links_to_every_section() -> None:
    table = PAGE.read_text().split("\n## ")[0]
    linked = re.findall(r"\]\(#([^)]+)\)", table)
    assert linked == [anchor(title) for title, _ in sections()]
