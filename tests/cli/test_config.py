"""Settings: where they come from, and the menu that answers a wrong one."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from whynan.config import FIELDS, Config, load
from whynan.errors import UsageError


def test_the_defaults() -> None:
    config = load({}, start=Path("/"), environ={})
    assert config == Config()
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.quiet = True  # type: ignore[misc]


def test_later_ones_win(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        "[tool.whynan]\nwhy-budget = 1\nfix_budget = 2\nsnapshot-share = 0.5\ncolor = 'never'\n", encoding="utf-8"
    )
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    config = load(
        {"snapshot_share": 0.1}, start=below, environ={"WHYNAN_FIX_BUDGET": "3", "WHYNAN_SNAPSHOT_SHARE": "0.2"}
    )
    assert (config.why_budget, config.fix_budget, config.snapshot_share, config.color) == (1.0, 3.0, 0.1, "never")


@pytest.mark.parametrize(("text", "value"), [("1", True), ("ON", True), ("no", False), ("False", False)])
def test_switches_in_the_environment(text: str, value: bool) -> None:
    assert (
        load(environ={"WHYNAN_QUIET": text, "WHYNAN_HTML": "", "WHYNAN_INTERNAL_X": "1"}, start=Path("/")).quiet
        is value
    )


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"WHYNAN_QUIET": "maybe"}, "WHYNAN_QUIET is 'maybe'. Valid values are 1, true, yes, on or 0, false, no, off."),
        ({"WHYNAN_COLOR": "pink"}, "WHYNAN_COLOR is 'pink'. Valid values are auto, always, never."),
        ({"WHYNAN_WHY_BUDGET": "long"}, "WHYNAN_WHY_BUDGET is 'long'. Valid values are numbers."),
        ({"WHYNAN_WHY_BUDGET": "nan"}, "why_budget is nan. Valid values are finite numbers from 0 up."),
        ({"WHYNAN_SNAPSHOT_SHARE": "3"}, "snapshot_share is 3.0. Valid values are shares from 0 to 1."),
        (
            {"WHYNAN_BUDGET": "3"},
            "variable WHYNAN_BUDGET is no setting of whynan. Valid names are: WHYNAN_WHY_BUDGET, ",
        ),
    ],
)
def test_wrong_variables(environ: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        load(environ=environ, start=Path("/"))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[tool.whynan]\nbudget = 3", "[tool.whynan] budget is no setting of whynan. Valid names are: why_budget, "),
        ("[tool.whynan]\nfixes = 'perhaps'", "[tool.whynan] fixes is 'perhaps'. Valid values are"),
        ("[tool.whynan]\nwhy-budget = true", "why-budget is True. Valid values are numbers."),
        ("[tool.whynan]\nhtml = 3", "html is 3. Valid values are strings."),
        ("[tool]\nwhynan = 3", "tool.whynan is 3. It has to be a table"),
        ("[tool", "cannot be read"),
    ],
)
def test_wrong_tables(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "pyproject.toml").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        load(start=tmp_path, environ={})
    assert message in str(caught.value) and str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("name", FIELDS)
def test_every_setting_can_come_from_the_environment(name: str) -> None:
    default: Any = getattr(Config(), name)
    text = "1" if isinstance(default, bool) else "0.5" if isinstance(default, float) else default or "file"
    load(environ={f"WHYNAN_{name.upper()}": text}, start=Path("/"))
