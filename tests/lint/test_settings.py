"""Which rules and which files: pyproject.toml, patterns, beginnings of codes, what cannot be meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from whynan.errors import UsageError
from whynan.lint import Settings, all_rules, lint_paths
from whynan.lint.settings import load

RULES = all_rules()


def on(settings: Settings, path: str = "train.py") -> set[str]:
    return {code for code, rule in RULES.items() if settings.wants(rule, path)}


def test_default_is_all_but_preview() -> None:
    assert on(Settings()) == {code for code, rule in RULES.items() if not rule.preview}


def test_preview() -> None:
    assert on(Settings(preview=True)) == set(RULES)
    assert "WN106" in on(Settings(extend_select=("WN106",)))
    assert "WN106" not in on(Settings(select=("WN1",)))


def test_select_and_ignore_take_beginnings_and_names() -> None:
    assert on(Settings(select=("WN1",), ignore=("WN102",))) == {
        c for c, r in RULES.items() if c.startswith("WN1") and not r.preview and c != "WN102"
    }
    assert on(Settings(select=("log-of-softmax",))) == {"WN102"}


@pytest.mark.parametrize("name", ["select", "ignore", "extend_select"])
def test_unknown_code(name: str) -> None:
    with pytest.raises(UsageError, match="'WN999' is no rule.*WN102"):
        Settings(**{name: ("WN999",)})


def test_per_file_ignores(tmp_path: Path) -> None:
    settings = Settings(per_file_ignores={"tests/*": ("WN1",)}, root=str(tmp_path))
    assert "WN102" not in on(settings, str(tmp_path / "tests" / "deep" / "test_a.py"))
    assert "WN102" in on(settings, str(tmp_path / "src" / "a.py"))


def test_pyproject(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[tool.whynan.lint]\nselect = ["WN1"]\nignore = ["WN103"]\nexclude = ["vendor"]\n'
        '[tool.whynan.lint.per-file-ignores]\n"a.py" = ["WN102"]\n'
    )
    (tmp_path / "sub").mkdir()
    settings = load(tmp_path / "sub")
    assert settings.select == ("WN1",) and settings.root == str(tmp_path.resolve())
    assert "WN102" not in on(settings, str(tmp_path / "a.py"))
    assert load(tmp_path, {"select": ("WN2",), "ignore": None}).select == ("WN2",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[tool.whynan.lint]\nselct = ["WN1"]', "selct is no setting of whynan lint. Valid names are: select"),
        ('[tool.whynan.lint]\nselect = "WN1"', "Valid values are lists of strings"),
        ("[tool.whynan.lint]\npreview = 3", "Valid values are true or false"),
        ("[tool.whynan.lint]\nper-file-ignores = 3", "It has to be a table"),
        ("[tool.whynan]\nlint = 3", "has to be a table"),
        ("[tool", "cannot be read"),
    ],
)
def test_bad_pyproject(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(UsageError, match=message):
        load(tmp_path)


def test_exclude(tmp_path: Path) -> None:
    bad = "import torch\n\ndef loss(z):\n    return torch.log(torch.softmax(z, -1))\n"
    for name in ("a.py", "vendor/b.py", "deep/vendor/c.py", ".venv/d.py", "build_1/e.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(bad)
    settings = Settings(exclude=("vendor", "build_*"), root=str(tmp_path))
    assert [Path(o.path).name for o in lint_paths([tmp_path], settings)] == ["a.py"]


def test_missing_path() -> None:
    with pytest.raises(UsageError, match="neither a file nor a folder"):
        lint_paths(["no-such-path"])
