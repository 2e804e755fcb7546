"""The section of docs/benchmarks.md and its plot, from figures of which the ratios are known."""

from pathlib import Path

import pytest
from benchmarks.endtoend import Runs
from benchmarks.measure import Times

from benchmarks import page


def times() -> list[Times]:
    bare = Times("bare", [0.010, 0.020, 0.010])
    whynan = Times("whynan", [0.0101, 0.0202, 0.03], bare)
    slow = Times("torch DebugMode", [0.040, 0.040], Times("bare", [0.010, 0.010]))
    return [bare, whynan, slow]


def memory() -> dict[str, dict[str, float]]:
    return {"mlp": {"bare": 400.0, "share": 0.005, "resident_share": 0.01, "growth": 0.1}}


def test_each_contender_is_held_against_the_bare_loop_of_its_own_rounds() -> None:
    bare, whynan, slow = times()
    assert bare.ratio() == 1.0 and whynan.ratio() == pytest.approx(1.01) and slow.ratio() == pytest.approx(4.0)


def test_section_and_plot() -> None:
    runs = Runs("mlp", 100, Times("bare", [0.01]), Times("whynan", [0.0102]), ([5.0], [5.5]))
    text = page.section({"mlp": times()}, (40.0, 120.0, 3.0), memory(), ["x is not installed"], [runs], rounds=3)
    assert "| mlp | 10.00 ms | 1.010 | 4.0 |" in text
    assert "- mlp: 100 steps of 10.00 ms, second half 1.020, whole process +0.5 s" in text
    assert "Not measured: x is not installed." in text and "3.0 times" in text
    assert page.row("mlp", times()) == "mlp: bare 10.00 ms; whynan 1.010, torch DebugMode 4.000"
    svg = page.plot({"mlp": times()})
    assert "1.0 %" in svg and "300.0 %" in svg and svg.count("<rect") == 2


def test_only_the_part_between_the_marks_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "DOCS", tmp_path)
    (tmp_path / "benchmarks.md").write_text(f"before\n{page.BEGIN}\nold\n{page.END}\nafter\n")
    page.write("new", "<svg/>")
    assert (tmp_path / "benchmarks.md").read_text() == f"before\n{page.BEGIN}\nnew\n{page.END}\nafter\n"
