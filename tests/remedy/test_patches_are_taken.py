"""The patches of the whole table, as other programs see them: `patch`, `git apply`, and ruff with its default rules."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from remedy.table import ROWS, Row
from remedy.test_table import report_of
from whynan.remedy import plan
from whynan.remedy.candidate import Candidate
from whynan.remedy.trials import Script

MOST = 6  # candidates a row


@pytest.fixture(scope="module")
def patches(tmp_path_factory) -> list[tuple[Row, str, Candidate]]:
    """(row, folder name, candidate), each with the folder as the first part of its paths."""
    top, out = tmp_path_factory.mktemp("originals"), []
    for row in ROWS:
        text = row.head + row.snippet
        (top / "train.py").write_text(text)
        found = plan.candidates(report_of(row, text), Script(top / "train.py", (), top))
        out += [(row, f"{row.name}-{i}", candidate) for i, candidate in enumerate(found[:MOST])]
    return out


def in_folder(patch: str, folder: str) -> str:
    return patch.replace("--- a/train.py", f"--- a/{folder}/train.py", 1).replace(
        "+++ b/train.py", f"+++ b/{folder}/train.py", 1
    )


@pytest.mark.parametrize("command", [["patch", "-p1", "-s", "-i"], ["git", "apply"]], ids=["patch", "git"])
def test_every_patch_is_taken(command, patches, tmp_path):
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    for row, folder, _ in patches:
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "train.py").write_text(row.head + row.snippet)
    (tmp_path / "all.patch").write_text("".join(in_folder(c.patch, folder) for _, folder, c in patches))
    done = subprocess.run([*command, "all.patch"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-800:] + done.stderr[-800:]
    for _, folder, candidate in patches:
        assert (tmp_path / folder / "train.py").read_text() == candidate.after, folder


def complaints(folder: Path) -> dict[str, set[str]]:
    """Rules that ruff's defaults find broken, by the name of the file's folder."""
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--output-format=concise", "--no-cache", "."]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if "No module named ruff" in done.stderr:
        pytest.skip("ruff is not installed")
    found: dict[str, set[str]] = {}
    for line in done.stdout.splitlines():
        if ".py:" in line:
            found.setdefault(line.split("/")[0], set()).add(line.split(" ")[1])
    return found


def test_no_patch_breaks_a_rule_of_ruff_that_the_file_kept(patches, tmp_path):
    for kind in ("before", "after"):
        for row, folder, candidate in patches:
            (tmp_path / kind / folder).mkdir(parents=True)
            text = row.head + row.snippet if kind == "before" else candidate.after
            (tmp_path / kind / folder / "train.py").write_text(text)
    before, after = complaints(tmp_path / "before"), complaints(tmp_path / "after")
    assert before, "the snippets are known to have unused imports: the check itself must be able to find something"
    worse = {folder: rules - before.get(folder, set()) for folder, rules in after.items()}
    assert not {folder: rules for folder, rules in worse.items() if rules}
