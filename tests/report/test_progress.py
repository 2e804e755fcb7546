"""What is said while the reader waits: plain lines in a log, a bar that counts batches on a terminal."""

from __future__ import annotations

import os
import re
import sys
import time
from pathlib import Path

import pytest

from whynan.report.progress import Progress


def test_one_line_for_each_stage_in_a_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "log").open("w+") as log:
        monkeypatch.setattr(sys, "stderr", log)
        with Progress() as progress:
            progress.stage("looking at one step")
            progress.stage("looking through the data", 60, batches=1200)
            progress.advance()
            progress.stage("waiting", log=False)
        progress.advance()  # after the end: nothing
        log.seek(0)
        told = log.read().splitlines()
    assert told == ["whynan: looking at one step ...", "whynan: looking through the data (1,200 batches) ..."]


def test_a_bar_counts_batches_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    pty = pytest.importorskip("pty")
    reader, terminal = pty.openpty()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    with os.fdopen(terminal, "w") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        with Progress() as progress:
            progress.stage("looking through the data", 60, batches=20)
            for _ in range(20):
                progress.advance()
            time.sleep(0.3)  # the bar is drawn ten times a second
            shown = os.read(reader, 1 << 16).decode()
            progress.stage("trying remedies", 30)
            time.sleep(0.3)
            later = os.read(reader, 1 << 16).decode()
    plain = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
    assert "20 of 20 batches" in plain.sub("", shown)
    assert "batches" not in (last := plain.sub("", later)[-60:]) and "of at most 30 s" in last
