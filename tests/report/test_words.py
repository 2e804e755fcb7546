"""The sentences of a report."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from messages.reports import complete, sparse
from whynan.case.facts import PathStep, Remedy, Report, Run, Symptom, Trial
from whynan.report import words


def test_headlines() -> None:
    report = complete()
    assert report.birth is not None
    assert words.headline(report) == "NaN born at step 33, iteration 33: aten::div in forward"
    batch = dataclasses.replace(report.birth, op=None, phase="data", tensor="x", kind="inf", iteration=None)
    assert words.headline(dataclasses.replace(report, birth=batch)) == "Inf came in at step 33: x in data"
    constant = dataclasses.replace(batch, phase="init", tensor=None)
    assert words.headline(dataclasses.replace(report, birth=constant)) == "Inf born at step 33: a value in init"
    assert words.headline(Report(verdict="healthy", run=Run(script="x"))) == "Nothing non-finite was found"
    assert "could not be found out" in words.headline(Report(verdict="nonfinite", run=Run(script="x")))
    assert words.headline(sparse()).endswith("at step 11; its birth was not found")


@pytest.mark.parametrize(
    ("what", "name", "value", "text"),
    [
        ("loss", None, "nan", "The loss became nan"),
        ("loss", "loss", "nan", "The loss became nan"),
        ("gradient", "fc.weight", "inf", "The gradient of fc.weight became inf"),
        ("parameter", "fc.weight", None, "The parameter fc.weight became non-finite"),
        ("exception", None, "Traceback\nValueError: nan", "An exception (ValueError: nan)"),
        ("exception", None, "ValueError: nan in\ntensor([nan])", "An exception (ValueError: nan in)"),
        ("exception", None, None, "An exception"),
    ],
)
def test_symptoms(what: str, name: str | None, value: str | None, text: str) -> None:
    assert words.symptom_text(Symptom(step=1, iteration=1, what=what, name=name, value=value)) == text  # type: ignore[arg-type]


def path(states: str) -> tuple[PathStep, ...]:
    names = {"f": "finite", "b": "born", "c": "carried", "a": "absorbed"}
    return tuple(PathStep(op=f"aten::op{i}", state=names[s]) for i, s in enumerate(states))  # type: ignore[arg-type]


def folded(states: str) -> str:
    return "".join(
        f"({line.hidden})" if line.step is None else line.step.state[0] for line in words.path_lines(path(states))
    )


@pytest.mark.parametrize(
    ("states", "shown"),
    [
        ("bcccccc", "bcccccc"),
        ("b" + "c" * 20, "bcc(16)cc"),
        ("f" * 9 + "bcccc", "(7)ffbcccc"),
        ("f" * 9 + "b" + "c" * 10 + "acccc", "(7)ffbcc(8)a(2)cc"),
        ("ffffb" + "c" * 5, "(2)ffbccccc"),
        ("fffb" + "c" * 5, "fffbccccc"),
        ("c" * 12, "ccc(7)cc"),
        ("", ""),
    ],
)
def test_long_paths_are_folded(states: str, shown: str) -> None:
    assert folded(states) == shown
    hidden = sum(line.hidden for line in words.path_lines(path(states)))
    assert hidden + sum(line.step is not None for line in words.path_lines(path(states))) == len(states)


def test_places_are_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert words.place(str(tmp_path / "a" / "x.py"), 3, "f") == "a/x.py:3 in f"
    assert words.place("/elsewhere/x.py", None, "<module>") == "/elsewhere/x.py"
    assert words.place(None, 3) == ""


def test_trials() -> None:
    trial = Trial(how="replay", steps=50, finite=True, loss_before=2.31, loss_after=0.88)
    assert words.trial(trial) == "replayed 50 steps: finite, loss 2.31 -> 0.88"
    again = Trial(how="rerun", steps=400, finite=False, loss_after=0.5)
    assert words.trial(again) == "ran the script again, 400 steps: not finite, loss 0.5"
    remedy = Remedy(class_="clamp", title="clamp")
    assert words.remedy_standing(remedy) == "not tried"
    assert words.remedy_standing(dataclasses.replace(remedy, trial=again)).startswith("tried, not verified: ")


def test_control_characters_are_spelled_out() -> None:
    assert words.visible("a\x1b[31m b\r\x00ü\n") == "a\\x1b[31m b\\r\\x00ü\n"
