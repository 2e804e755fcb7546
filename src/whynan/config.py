"""All settings of one run, and where they come from.

Later ones win: the defaults below, `[tool.whynan]` in the nearest pyproject.toml, WHYNAN_* environment variables,
the command line. A name or a value that cannot be meant raises `UsageError`, whose message is the menu of what can.
"""

from __future__ import annotations

import dataclasses
import math
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

from .errors import UsageError

PREFIX = "WHYNAN_"
INTERNAL = "WHYNAN_INTERNAL_"  # variables that whynan sets for its own child processes

Color = Literal["auto", "always", "never"]
Fix = Literal["patch", "continue"]
Format = Literal["text", "github", "sarif"]
OnFailure = Literal["raise", "continue"]

_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


@dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of one run. Budgets are in seconds, memory in MiB."""

    # seconds that counterfactual experiments may take to find the cause
    why_budget: float = 30.0
    # seconds that trying remedies may take
    fix_budget: float = 60.0
    # file that receives the report as JSON
    json: str | None = None
    # file that receives the report as one HTML page
    html: str | None = None
    # besides the text: an annotation for GitHub on stderr, or whynan.sarif for other services
    format: Format = "text"
    # write a case folder when something was found
    case: bool = True
    # folder that receives the case folders
    cases_dir: str = "whynan-cases"
    # memory and disk that the tensors of a case may take, MiB
    case_mb: float = 256.0
    # colours on stderr; auto follows the terminal and NO_COLOR
    color: Color = "auto"
    # share of the run's wall time that snapshots may cost
    snapshot_share: float = 0.004
    # memory that snapshots may take, MiB
    memory_mb: float = 512.0
    # run the script again from its start, where it is short enough, as the last proof
    rerun: bool = True
    # try remedies and write patches
    fixes: bool = True
    # for runs of days: detection, history and snapshots, at the failure the diagnosis; nothing is run a second time
    watch_only: bool = False
    # after a failure: propose patches and end, or go on with the best remedy as a live intervention
    fix: Fix = "patch"
    # what may be done to survive, e.g. "skip,clip=percentile:95,rollback=10"; empty: nothing
    guard: str = ""
    # say early what grows towards an overflow
    warnings: bool = True
    # whynan.watch(): after the report, raise NonFiniteError or go on without the failing batch
    on_failure: OnFailure = "raise"
    # apply the first verified patch to the user's file
    apply: bool = False
    # print nothing but errors
    quiet: bool = False

    def __post_init__(self) -> None:
        for name in ("why_budget", "fix_budget", "memory_mb", "case_mb"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise UsageError(f"{name} is {value}. Valid values are finite numbers from 0 up.")
        if not 0 <= self.snapshot_share <= 1:
            raise UsageError(f"snapshot_share is {self.snapshot_share}. Valid values are shares from 0 to 1.")


FIELDS = tuple(field.name for field in dataclasses.fields(Config))


def load(
    command_line: Mapping[str, Any] | None = None,
    *,
    start: Path | None = None,
    environ: Mapping[str, str] | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> Config:
    """The settings in force. `command_line` holds only what was given; pyproject.toml is looked for from `start` up.

    `defaults` take the place of those of the fields.
    """
    values = dict(defaults or {}) | from_pyproject(Path.cwd() if start is None else start)
    values |= from_environment(os.environ if environ is None else environ)
    values |= {name: _checked(name, value, f"argument {name}") for name, value in (command_line or {}).items()}
    return Config(**values)


def from_pyproject(start: Path) -> dict[str, Any]:
    """[tool.whynan] of the nearest pyproject.toml, in `start` or above; keys with - or _."""
    for folder in (start.resolve(), *start.resolve().parents):
        path = folder / "pyproject.toml"
        if path.is_file():
            try:
                table = tomllib.loads(path.read_text(encoding="utf-8"))
            except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
                raise UsageError(f"{path} cannot be read: {error}.") from None
            section = table.get("tool", {}).get("whynan", {})
            if not isinstance(section, dict):
                raise UsageError(f"{path}: tool.whynan is {section!r}. It has to be a table: [tool.whynan].")
            return {
                _known(key.replace("-", "_"), f"{path}, [tool.whynan] {key}"): _checked(
                    key.replace("-", "_"), value, f"{path}, [tool.whynan] {key}"
                )
                for key, value in section.items()
            }
    return {}


def from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """WHYNAN_* as settings: WHYNAN_WHY_BUDGET=5. An empty value counts as not set."""
    values = {}
    for variable in sorted(environ):
        if variable.startswith(PREFIX) and not variable.startswith(INTERNAL) and environ[variable] != "":
            name = _known(variable.removeprefix(PREFIX).lower(), f"the environment variable {variable}", prefix=PREFIX)
            values[name] = _checked(name, environ[variable], variable)
    return values


def _known(name: str, where: str, *, prefix: str = "") -> str:
    if name in FIELDS:
        return name
    menu = ", ".join(prefix + field.upper() if prefix else field for field in FIELDS)
    raise UsageError(f"{where} is no setting of whynan. Valid names are: {menu}.")


def _checked(name: str, value: Any, where: str) -> Any:
    """`value` as the type of the field `name`; text (from the environment) is read."""
    kind = get_type_hints(Config)[_known(name, where)]
    if kind is bool:
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.lower() in _TRUE + _FALSE:
            return value.lower() in _TRUE
        raise UsageError(f"{where} is {value!r}. Valid values are {', '.join(_TRUE)} or {', '.join(_FALSE)}.")
    if kind is float:
        try:
            if isinstance(value, bool):
                raise ValueError
            return float(value)
        except (TypeError, ValueError):
            raise UsageError(f"{where} is {value!r}. Valid values are numbers.") from None
    if choices := [choice for choice in get_args(kind) if isinstance(choice, str)]:
        if value in choices:
            return value
        raise UsageError(f"{where} is {value!r}. Valid values are {', '.join(choices)}.")
    if isinstance(value, str | os.PathLike):
        return os.fspath(value)
    raise UsageError(f"{where} is {value!r}. Valid values are strings.")
