"""cases, replay, shrink, diff, show: what they print, their status, and what they say of a folder that is no case."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from messages.reports import complete
from replay.slices import log_of_softmax, program_of
from whynan.case.contents import ABSENT, TENSORS
from whynan.cli.cases import table
from whynan.cli.main import main
from whynan.replay.slicefile import JSON, HeldProgram
from whynan.report import save


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A case with the slice of another failure than its report's; ./whynan-cases is its shelf."""
    monkeypatch.chdir(tmp_path)
    held = HeldProgram(program_of(log_of_softmax))
    held.freeze()

    def fill(folder: Path) -> None:
        (folder / TENSORS).mkdir()
        held.write(folder / TENSORS, "/")
        (folder / ABSENT).write_text('["the state: 300.0 MiB, and the case may take 256.0 MiB (case_mb)."]')

    return save(complete(), tmp_path / "whynan-cases", fill=fill)


def test_list(case: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cases"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["TIME", "CASE", "LINE", "CAUSE", "CURE", "SIZE"]
    assert case.name in lines[1] and "KiB" in lines[1] and len(lines) == 2


def test_list_as_json(case: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cases", "--json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)
    assert entry["case"] == f"whynan-cases/{case.name}" and entry["bytes"] > 1000 and entry["problem"] is None


def test_list_of_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cases", "--cases-dir", str(tmp_path / "none")]) == 0
    printed = capsys.readouterr()
    assert printed.out == "" and "no case in" in printed.err


def test_replay_confirms(case: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "last"]) == 3
    out = capsys.readouterr().out
    assert out.startswith("Confirmed: Inf is born again in aten::log (forward, ")
    assert "element [0, 0], [0, 1]; same inputs bit for bit." in out


def test_replay_denies(case: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = case / TENSORS / JSON
    data = json.loads(path.read_text())
    for op in data["ops"]:
        if op["name"] == "aten::_softmax":
            op["name"] = "aten::sigmoid"
            op["args"] = op["args"][:1]
    path.write_text(json.dumps(data))
    assert main(["replay", str(case)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("Not reproduced: aten::log") and "The first that differs is op" in out
    assert "aten::log itself still fails with the inputs that were recorded" in out


def test_shrink(case: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["shrink", "last", "-o", str(tmp_path / "small.py")]) == 0
    printed = capsys.readouterr()
    assert printed.out == "" and "it was run and reproduces the birth" in printed.err
    text = (tmp_path / "small.py").read_text()
    assert "torch.log(x)" in text and case.name in text


def test_shrink_to_a_place_that_does_not_exist(case: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["shrink", "last", "-o", "no/such/place.py"]) == 2
    assert "no/such/place.py cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["replay", "shrink"])
def test_a_case_without_its_tensors(case: Path, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    (case / TENSORS / JSON).unlink()
    assert main([command, "last"]) == 2
    assert "holds no recorded computation: its tensors were removed." in capsys.readouterr().err
    (case / ABSENT).write_text('["the slice: no op of PyTorch made the bad value."]')
    assert main([command, "last"]) == 2
    assert "no op of PyTorch made the bad value" in capsys.readouterr().err
    assert main([command, str(case / "report.json")]) == 2
    assert "a report alone" in capsys.readouterr().err


def test_show_says_what_was_left_out(case: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "last"]) == 0
    assert "left out of the case: the state: 300.0 MiB" in capsys.readouterr().out


def test_diff_with_itself(case: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", "last", str(case / "report.json")]) == 0
    out = capsys.readouterr().out
    assert "the same, bit for bit" in out and "Script, versions, settings and findings are the same." in out


def test_diff_as_json(case: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = json.loads((case / "report.json").read_text())
    name = next(name for name in other["history"] if name == "loss")
    other["history"][name][1] = 123.0
    other["run"]["torch"] = "2.99"
    Path("other.json").write_text(json.dumps(other))
    assert main(["diff", "last", "other.json", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["series"][0]["name"] == "loss" and found["series"][0]["bits"][2] == 123.0
    assert [d["what"] for d in found["differences"]] == ["torch"]


def test_a_narrow_table() -> None:
    rows = [("t", "case", "a/very/long/path/to/some/file.py:123", "cause", "cure", "1 KiB")]
    lines = table(("TIME", "CASE", "LINE", "CAUSE", "CURE", "SIZE"), rows, 60)
    assert all(len(line) <= 60 for line in lines) and "file.py:123" in lines[1]
