"""Every row of the table: the patch that is expected is proposed, and it is proposed first."""

from __future__ import annotations

import pytest

from remedy.table import ROWS, Row
from whynan.case.facts import Birth, Cause, Report, Run
from whynan.remedy import plan
from whynan.remedy.candidate import MOST_LINES
from whynan.remedy.edits import apply_patch
from whynan.remedy.trials import Script


def report_of(row: Row, text: str) -> Report:
    line = text[: text.index(row.failing)].count("\n") + 1
    birth = Birth(
        step=3,
        iteration=3,
        phase=row.phase,
        kind="nan",
        op=row.op or None,
        autograd_node=row.op if "Backward" in row.op else None,
        file="train.py",
        line=line,
    )
    return Report(
        verdict="nonfinite",
        run=Run(script="train.py"),
        birth=birth,
        causes=(Cause(class_=row.cause, level="supported", score=1.0, summary=""),),
    )


def added(patch: str) -> str:
    return "\n".join(line[1:] for line in patch.split("\n") if line[:1] == "+" and not line.startswith("+++"))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_expected_patch(row: Row, tmp_path):
    text = row.head + row.snippet
    (tmp_path / "train.py").write_text(text)
    found = plan.candidates(report_of(row, text), Script(tmp_path / "train.py", (), tmp_path))
    lines = [added(c.patch) for c in found]
    assert row.added in (lines if row.anywhere else lines[:1])
    for candidate in found:
        assert apply_patch(text, candidate.patch) == candidate.after
        assert 0 < candidate.changed <= MOST_LINES


def test_the_names_are_unique():
    assert len({row.name for row in ROWS}) == len(ROWS)


def test_patches_do_not_touch_symptoms(tmp_path):
    """No candidate writes nan_to_num over a loss or a gradient; the batch is the only place where values are
    replaced."""
    for row in ROWS:
        text = row.head + row.snippet
        (tmp_path / "train.py").write_text(text)
        for candidate in plan.candidates(report_of(row, text), Script(tmp_path / "train.py", (), tmp_path)):
            if "nan_to_num" in added(candidate.patch):
                assert candidate.class_ == "impute-inputs"
