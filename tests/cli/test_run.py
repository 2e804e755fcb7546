"""The command line of run: whose option is it, and what reaches the session."""

from __future__ import annotations

import sys
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from whynan.cli.main import main
from whynan.cli.run import OPTIONS, split


@dataclass(frozen=True)
class FakeTarget:
    kind: str
    name: str
    argv: list[str]


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Any]:
    """A session that records what it is given and returns 3; ./train.py exists."""
    calls: list[Any] = []
    fake = types.ModuleType("whynan.session")
    fake.Target = FakeTarget  # type: ignore[attr-defined]
    fake.run = lambda target, config: calls.append((target, config)) or 3  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "whynan.session", fake)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").touch()
    return calls


@pytest.mark.parametrize(
    ("arguments", "own", "rest"),
    [
        ("train.py", "", "train.py"),
        ("train.py --json x", "", "train.py --json x"),
        ("--json r.json train.py --json x", "--json r.json", "train.py --json x"),
        ("--json=r.json train.py", "--json=r.json", "train.py"),
        ("--no-case --why-budget 5 train.py -h", "--no-case --why-budget 5", "train.py -h"),
        ("--quiet -m pkg.mod -m other", "--quiet", "-m pkg.mod -m other"),
        ("-mpkg.mod a", "", "-mpkg.mod a"),
        ("-- train.py -- a", "", "train.py -- a"),
        ("train.py -- a", "", "train.py -- a"),
        ("--quiet -- -odd.py", "--quiet", "-odd.py"),
        ("-h", "-h", ""),
        ("", "", ""),
        ("--json", "--json", ""),
        ("- x", "", "- x"),
    ],
)
def test_everything_after_the_script_is_its_own(arguments: str, own: str, rest: str) -> None:
    assert split(["run", *arguments.split()]) == (["run", *own.split()], rest.split())


def test_a_script_with_its_arguments(session: list[Any]) -> None:
    status = main(["run", "--json", "r.json", "--no-rerun", "train.py", "--json", "x", "--", "-h", ""])
    ((target, config),) = session
    assert status == 3
    assert target == FakeTarget("script", "train.py", ["--json", "x", "--", "-h", ""])
    assert (config.json, config.rerun, config.fixes) == ("r.json", False, True)


@pytest.mark.parametrize("words", [["-m", "pkg.train", "-v"], ["-mpkg.train", "-v"]])
def test_a_module(session: list[Any], words: list[str]) -> None:
    main(["run", *words])
    assert session[0][0] == FakeTarget("module", "pkg.train", ["-v"])


def test_every_option_reaches_the_configuration(session: list[Any]) -> None:
    main(
        "run --html p.html --no-case --cases-dir c --why-budget 1 --fix-budget 2.5 --no-fixes --apply "
        "--watch-only --quiet --color never train.py".split()
    )
    config = session[0][1]
    assert (config.html, config.case, config.cases_dir, config.why_budget, config.fix_budget) == (
        "p.html",
        False,
        "c",
        1.0,
        2.5,
    )
    assert (config.fixes, config.apply, config.watch_only, config.quiet) == (
        False,
        True,
        True,
        True,
    )
    assert config.color == "never"


def test_settings_of_the_project_hold_unless_given(session: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    Path("pyproject.toml").write_text("[tool.whynan]\nwhy-budget = 7\nfixes = false\n", encoding="utf-8")
    monkeypatch.setenv("WHYNAN_CASES_DIR", "elsewhere")
    main(["run", "train.py"])
    main(["run", "--why-budget", "9", "train.py"])
    first, second = session[0][1], session[1][1]
    assert (first.why_budget, first.fixes, first.cases_dir) == (7.0, False, "elsewhere")
    assert (second.why_budget, second.fixes) == (9.0, False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("run", "There is no script to run. Usage: whynan run [OPTIONS] (SCRIPT | -m MODULE) [ARGS]..."),
        ("run --quiet", "There is no script to run."),
        ("run nothere.py", "There is no script 'nothere.py' in "),
        ("run -m", "-m needs the name of a module."),
        ("run --why-budget -3 train.py", "why_budget is -3.0. Valid values are finite numbers from 0 up."),
    ],
)
def test_usage_errors(session: list[Any], arguments: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments.split()) == 2
    printed = capsys.readouterr()
    assert f"whynan: {message}" in printed.err and printed.out == ""
    assert "Traceback" not in printed.err and session == []


@pytest.mark.parametrize("arguments", ["run --jsn x train.py", "run --color pink train.py", "fly", "run --json", ""])
def test_argparse_errors(arguments: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments.split())
    assert caught.value.code == 2
    assert capsys.readouterr().err.rstrip().endswith("--help")


def test_every_option_is_described(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["run", "-h"])
    text = capsys.readouterr().out
    assert caught.value.code == 0
    assert all(option in text and OPTIONS[option]["help"] for option in OPTIONS)
