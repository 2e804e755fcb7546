"""The reference pages in docs are those that the docstrings give; the hook file and the how-to name what exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from whynan.lint import all_rules
from whynan.lint.reference import GROUPS, pages

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "reference" / "rules"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="an installed package has no docs")


def test_pages_are_up_to_date() -> None:
    written = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.md")}
    assert written == pages(), "run: python -m whynan.lint.reference docs/reference/rules"


def test_fences_are_balanced() -> None:
    for name, text in pages().items():
        assert text.count("```") == (0 if name == "index.md" else 4), name


def test_every_rule_has_a_group() -> None:
    assert {code[2] for code in all_rules()} == set(GROUPS)


def test_codes_named_in_the_docs_exist() -> None:
    for path in (ROOT / "docs" / "how-to" / "lint.md", ROOT / "docs" / "explanation" / "lint-precision.md"):
        codes = set(re.findall(r"\bWN\d{3}\b", path.read_text(encoding="utf-8")))
        assert codes and codes <= set(all_rules())


def test_the_hook_runs_the_command() -> None:
    text = (ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8")
    assert re.search(r"^  entry: whynan lint", text, re.MULTILINE) and "types_or: [python, pyi]" in text
