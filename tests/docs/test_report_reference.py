"""docs/reference/report.md names every field of the report, in order, and nothing else."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from whynan.case import facts
from whynan.case.serial import key_of
from whynan.replay.series import SERIES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "report.md"
SECTIONS = dict(re.findall(r"^## (\w+)$(.*?)(?=^## |\Z)", PAGE.read_text(), re.MULTILINE | re.DOTALL))
KINDS = {k.__name__: k for k in vars(facts).values() if dataclasses.is_dataclass(k)}


def named(section: str) -> list[str]:
    return re.findall(r"^\| `(\w+)` \|", SECTIONS[section], re.MULTILINE)


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_is_told(kind: str) -> None:
    fields = [key_of(field.name) for field in dataclasses.fields(KINDS[kind])]
    assert sorted(named(kind)) == sorted(fields)


def test_every_series_is_told_and_every_section_is_something() -> None:
    assert named("History") == ["step", *SERIES]
    assert set(SECTIONS) == {*KINDS, "History"}


def test_links_lead_to_sections() -> None:
    linked = set(re.findall(r"\]\(#([^)]+)\)", PAGE.read_text()))
    assert linked <= {name.lower() for name in SECTIONS}
