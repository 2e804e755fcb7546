"""Which rules, which files: `[tool.whynan.lint]` in pyproject.toml, then the command line.

[tool.whynan.lint]
select = ["WN1", "WN501"]          only rules whose code begins so; preview rules only when named here
extend-select = ["WN127"]          these as well
ignore = ["WN204"]
exclude = ["build", "vendor/*"]
preview = false                    the preview rules too
[tool.whynan.lint.per-file-ignores]
"tests/*" = ["WN1"]
"""

from __future__ import annotations

import fnmatch
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from whynan.errors import UsageError
from whynan.lint.rule import Rule, all_rules

LISTS = ("select", "extend-select", "ignore", "exclude")
KEYS = (*LISTS, "preview", "per-file-ignores")
ALWAYS_EXCLUDED = (
    ".git", ".hg", ".venv", "venv", ".tox", ".nox", ".eggs", "__pycache__", ".mypy_cache", ".ruff_cache",
    "node_modules",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Codes may be cut short: "WN1" means all that begin so. `root`: what patterns of files are relative to."""

    select: tuple[str, ...] = ()
    extend_select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    preview: bool = False
    per_file_ignores: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    root: str = "."

    def __post_init__(self) -> None:
        listed = [*self.select, *self.extend_select, *self.ignore]
        for code in [*listed, *(c for codes in self.per_file_ignores.values() for c in codes)]:
            if not any(_matches(code, rule) for rule in all_rules().values()):
                menu = ", ".join(all_rules())
                raise UsageError(f"{code!r} is no rule, nor the beginning of one. Rules are: {menu}.")

    def wants(self, rule: Rule, path: str) -> bool:
        """Whether a rule applies to a file."""
        named = [c for c in (*self.select, *self.extend_select) if _matches(c, rule)]
        on = bool(named) if self.select else (not rule.preview or self.preview or bool(named))
        if rule.preview and not self.doubts(rule):
            on = False
        if not on or any(_matches(code, rule) for code in self.ignore):
            return False
        codes = [c for pattern, codes in self.per_file_ignores.items() if self.fits(path, (pattern,)) for c in codes]
        return not any(_matches(code, rule) for code in codes)

    def doubts(self, rule: Rule) -> bool:
        """Whether a rule's doubtful findings are wanted: all in preview, otherwise those of rules that are named."""
        named = (*self.select, *self.extend_select)
        return self.preview or any(c.upper() == rule.code or c == rule.name for c in named)

    def excluded(self, path: str) -> bool:
        """Whether a file or folder is left out."""
        return Path(path).name in ALWAYS_EXCLUDED or self.fits(path, self.exclude)

    def fits(self, path: str, patterns: tuple[str, ...]) -> bool:
        """Whether a path, or one of its folders, fits a pattern: by name, or relative to the root."""
        whole = Path(path).absolute()
        try:
            relative = whole.relative_to(self._root).as_posix()
        except ValueError:
            relative = whole.as_posix()
        parts = relative.split("/")
        heads = ["/".join(parts[: i + 1]) for i in range(len(parts))]
        return any(fnmatch.fnmatch(text, p.rstrip("/")) for p in patterns for text in (*heads, *parts))

    @cached_property
    def _root(self) -> Path:
        return Path(self.root).absolute()


def _matches(code: str, rule: Rule) -> bool:
    return bool(code) and (rule.code.startswith(code.upper()) or code == rule.name or code.upper() == "ALL")


def load(start: Path, command_line: Mapping[str, Any] | None = None) -> Settings:
    """The settings of the nearest pyproject.toml that has [tool.whynan], from `start` up, then those given."""
    values: dict[str, Any] = {}
    for folder in (start.resolve(), *start.resolve().parents):
        path = folder / "pyproject.toml"
        if path.is_file():
            values = _from_file(path)
            values["root"] = str(folder)
            break
    values |= {key: value for key, value in (command_line or {}).items() if value is not None}
    return Settings(**values)


def _from_file(path: Path) -> dict[str, Any]:
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}.") from None
    section = tables.get("tool", {}).get("whynan", {}).get("lint", {})
    where = f"{path}, [tool.whynan.lint]"
    if not isinstance(section, dict):
        raise UsageError(f"{where}: {section!r} has to be a table.")
    return {
        key.replace("-", "_"): _value(key.replace("_", "-"), value, f"{where} {key}") for key, value in section.items()
    }


def _value(key: str, value: Any, where: str) -> Any:
    if key not in KEYS:
        raise UsageError(f"{where} is no setting of whynan lint. Valid names are: {', '.join(KEYS)}.")
    if key == "preview":
        if isinstance(value, bool):
            return value
        raise UsageError(f"{where} is {value!r}. Valid values are true or false.")
    if key == "per-file-ignores":
        if not isinstance(value, dict):
            raise UsageError(f"{where} is {value!r}. It has to be a table of lists of codes.")
        return {pattern: _codes(codes, f"{where}.{pattern}") for pattern, codes in value.items()}
    return _codes(value, where)


def _codes(value: Any, where: str) -> tuple[str, ...]:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    raise UsageError(f"{where} is {value!r}. Valid values are lists of strings.")
