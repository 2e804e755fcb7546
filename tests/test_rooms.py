"""Imports go down the list of rooms only, and heavy packages stay where they belong. Read from the source, by `ast`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "whynan"

# a room may import the rooms before it; docs/design.md says why
ORDER = (
    "callable",
    "errors",
    "config",
    "case",
    "tensors",
    "watch",
    "replay",
    "diagnose",
    "remedy",
    "guard",
    "preflight",
    "lint",
    "report",
    "investigation",
    "ongoing",
    "library",
    "session",
    "checking",
    "integrations",
    "cli",
)
READS_ONLY = {"report": {"errors", "config", "case"}, "lint": {"errors", "config", "case", "remedy"}}
NOT_IMPORTED = {"integrations"}  # the edge: it imports, nothing imports it
FRONT = {"__init__": {"errors", "config", "case", "library", "preflight"}, "__main__": {"cli"}}

WITHOUT_TORCH = {"errors", "config", "case", "lint", "report", "cli", "__init__", "__main__"}
HEAVY = {"torch", "numpy", "lightning", "transformers", "accelerate"}
ONLY_IN_REPORT = {"rich", "jinja2"}


def imports(source: str, module: str) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of everything that a module of the package imports, relative imports resolved."""
    package = module.split(".")[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            name = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                yield node.lineno, f"{name}.{alias.name}"


def violations(source: str, module: str) -> list[str]:
    """What a module imports and must not, one line each. `module` is its dotted name."""
    room = module.split(".")[1]
    wrong = []
    for line, name in imports(source, module):
        parts = name.split(".")
        if parts[0] == "whynan" and len(parts) > 1:
            other = parts[1]
            if other not in ORDER or other == room or other in allowed(room):
                continue
            wrong.append(f"{module}:{line} imports {name}: {room} may not import {other}")
        elif parts[0] in HEAVY and room in WITHOUT_TORCH:
            wrong.append(f"{module}:{line} imports {name}: {room} must work without {parts[0]}")
        elif parts[0] in ONLY_IN_REPORT and room != "report":
            wrong.append(f"{module}:{line} imports {name}: only report talks through {parts[0]}")
    return wrong


def allowed(room: str) -> set[str]:
    if room in FRONT:
        return FRONT[room]
    if room in READS_ONLY:
        return READS_ONLY[room]
    return set(ORDER[: ORDER.index(room)]) - NOT_IMPORTED


def modules() -> list[tuple[str, Path]]:
    """(dotted name, path) of every module; a package's __init__ is named package.__init__."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        found.append((".".join(["whynan", *path.relative_to(PACKAGE).with_suffix("").parts]), path))
    return found


@pytest.mark.parametrize(("module", "path"), modules(), ids=[name for name, _ in modules()])
def test_imports_go_down_the_list(module: str, path: Path) -> None:
    assert violations(path.read_text(encoding="utf-8"), module) == []


def test_every_room_is_in_the_order() -> None:
    rooms = {name.split(".")[1] for name, _ in modules()}
    assert rooms - set(ORDER) - set(FRONT) == set()


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("whynan.case.folder", "from whynan.report import page"),
        ("whynan.case.folder", "from ..report.page import page"),
        ("whynan.case.folder", "def f():\n    import whynan.watch.hooks"),
        ("whynan.watch.loops", "from ..replay import scope"),
        ("whynan.report.page", "from whynan.tensors import many"),
        ("whynan.report.page", "import torch.nn"),
        ("whynan.session", "from . import cli"),
        ("whynan.session", "from .integrations import lightning"),
        ("whynan.config", "from .case import facts"),
        ("whynan.__init__", "from .watch import watch"),
        ("whynan.watch.hooks", "from rich.console import Console"),
    ],
)
def test_the_check_can_fail(module: str, source: str) -> None:
    assert len(violations(source, module)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("whynan.cli.run", "from ..session import Target"),
        ("whynan.replay.scope", "import torch\nfrom ..watch import hooks\nfrom . import trace"),
        ("whynan.case.serial", "import json\nfrom .facts import Report\nfrom ..errors import CaseError"),
        ("whynan.report.terminal", "from rich.text import Text\nfrom ..case.facts import Report"),
    ],
)
def test_the_check_can_pass(module: str, source: str) -> None:
    assert violations(source, module) == []
