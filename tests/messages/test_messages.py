"""The printed text of three reports, kept line by line.

After a change on purpose: WHYNAN_INTERNAL_SNAPSHOTS=write make test ARGS=tests/messages
"""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from rich.console import Console

from messages.reports import ALL
from whynan.report.terminal import render

HERE = Path(__file__).parent / "snapshots"
CASE = "whynan-cases/20260822-141503-train"


@pytest.mark.parametrize("width", [80, 160])
@pytest.mark.parametrize("name", ALL)
def test_printed_text(name: str, width: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # no file of the same name is there
    file = io.StringIO()
    render(ALL[name](), Console(file=file, width=width, highlight=False), case=CASE)
    kept = HERE / f"{name}-{width}.txt"
    if os.environ.get("WHYNAN_INTERNAL_SNAPSHOTS") == "write":
        kept.parent.mkdir(exist_ok=True)
        kept.write_text(file.getvalue(), encoding="utf-8")
    assert file.getvalue().splitlines() == kept.read_text(encoding="utf-8").splitlines()
