"""`whynan lint` as a command: exit status, formats, fix and diff, what it says on which stream."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from whynan.cli.main import main

BAD = "import torch\n\ndef loss(z):\n    return torch.log(torch.softmax(z, dim=1))\n"
GOOD = "import torch\n\ndef loss(z):\n    return torch.log_softmax(z, dim=1)\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.py").write_text(BAD)
    (tmp_path / "good.py").write_text(GOOD)
    return tmp_path


def test_findings_and_status(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint"]) == 1
    out, err = capsys.readouterr()
    assert out.startswith("bad.py:4:12: WN102 log-of-softmax [fixable]")
    assert "1 finding in 2 files" in err and "next whynan explain WN102" in err


def test_clean(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", "good.py", "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


def test_diff_changes_nothing_and_applies(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from whynan.remedy.edits import apply_patch

    assert main(["lint", "--diff", "bad.py"]) == 1
    patch = capsys.readouterr().out
    assert (folder / "bad.py").read_text() == BAD
    assert apply_patch(BAD, patch) == GOOD
    assert main(["lint", "--diff", "good.py"]) == 0


def test_fix(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "bad.py").chmod(0o640)
    assert main(["lint", "--fix"]) == 0
    assert (folder / "bad.py").read_text() == GOOD and (folder / "bad.py").stat().st_mode & 0o777 == 0o640
    assert "1 file fixed" in capsys.readouterr().err
    assert sorted(p.name for p in folder.iterdir()) == ["bad.py", "good.py"]


def test_formats_and_output(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", "--format", "sarif", "--output", "lint.sarif", "--quiet"]) == 1
    assert capsys.readouterr().out == ""
    assert json.loads((folder / "lint.sarif").read_text())["runs"][0]["results"][0]["ruleId"] == "WN102"
    main(["lint", "--format", "github"])
    assert capsys.readouterr().out.startswith("::warning file=bad.py,line=4,col=12")


def test_statistics(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", "--statistics"]) == 1
    assert capsys.readouterr().out.split() == ["1", "WN102", "log-of-softmax"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere is neither a file nor a folder"),
        (["--format", "xml"], "Valid formats are: text, json, github, sarif"),
        (["--select", "E501"], "'E501' is no rule"),
        (["--jobs", "0"], "--jobs is 0"),
        (["--output", "no/such/file", "bad.py"], "cannot be written"),
    ],
)
def test_usage_errors(
    folder: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["lint", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_file_that_is_no_python(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "broken.py").write_text("import torch\ndef (")
    assert main(["lint"]) == 2
    out, err = capsys.readouterr()
    assert "broken.py was not read" in err and "bad.py:4:12" in out


def test_rules_and_explain(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", "--rules"]) == 0
    assert "WN102 log-of-softmax" in capsys.readouterr().out
    assert main(["explain", "wn102"]) == 0
    assert capsys.readouterr().out.startswith("Logarithm of a softmax\n")
    assert main(["explain", "clip-after-step"]) == 0
    assert "Experiment" in capsys.readouterr().out  # the cause of that name, which is the older
    assert main(["explain", "WN999"]) == 2


def test_causes_and_rules_name_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    main(["explain", "log-of-underflow"])
    assert "Lint rules that find this before it happens: " in (page := capsys.readouterr().out)
    named = page.splitlines()[-1]
    assert "WN102 log-of-softmax" in named and "WN410 one-minus-sigmoid (preview)" in named and "WN601" not in named
    main(["explain", "log-of-zero"])  # a class: what its causes name
    assert "WN102 log-of-softmax" in capsys.readouterr().out.splitlines()[-1]
    main(["explain", "maximizing-optimizer"])
    assert "Lint rules" not in capsys.readouterr().out
    main(["explain", "WN102"])
    assert "log-of-underflow" in capsys.readouterr().out.splitlines()[-1]


def test_torch_is_not_imported(folder: Path) -> None:
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "from whynan.cli.main import main\n"
        "assert main(['lint', 'bad.py', '--format', 'sarif']) == 1\n"
        "assert main(['lint', 'bad.py', '--diff']) == 1\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
