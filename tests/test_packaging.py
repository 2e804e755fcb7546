"""What a user installs: public names, what importing costs, what a wheel contains."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

import whynan

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "rich", "jinja2", "numpy")


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}  # also where whynan is not installed
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=60, check=False, env=environment
    )


@pytest.mark.parametrize(
    "first",
    [
        "import whynan",
        "import whynan.cli.main; whynan.cli.main.make_parser().format_help()",
        "import whynan; whynan.Report, whynan.Config, whynan.read_case",
    ],
)
def test_nothing_heavy_is_imported(first: str) -> None:
    done = python("-c", f"{first}\nimport sys\nprint([name for name in {HEAVY!r} if name in sys.modules])")
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_the_check_for_heavy_imports_can_fail() -> None:
    done = python("-c", "import whynan, rich, sys\nprint([name for name in ('torch', 'rich') if name in sys.modules])")
    assert done.stdout.strip() == "['rich']"


def test_help_is_quick() -> None:
    started = time.perf_counter()
    done = python("-m", "whynan", "--help")
    seconds = time.perf_counter() - started
    print(f"whynan --help: {seconds:.2f} s")  # 0.1 s on an idle machine; the bound is for busy ones
    assert done.returncode == 0 and "whynan run train.py" in done.stdout
    assert seconds < 1.0


def test_public_names() -> None:
    for name in whynan.__all__:
        assert getattr(whynan, name) is not None
    assert dir(whynan) == sorted(whynan.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'wach'. It has: Case, "):
        whynan.wach  # noqa: B018


def test_errors_claim_the_public_module() -> None:
    assert whynan.UsageError.__module__ == "whynan"
    assert whynan.UsageError("x").exit_status == 2


def test_constraints_pin_exact_versions() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9.]+", pin) for pin in pins)


def test_project_file_agrees_with_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["scripts"] == {"whynan": "whynan.cli.main:main"}
    shipped = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert all((ROOT / path).is_file() for path in shipped)


def test_readme_names_the_two_commands() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "make demo" in readme and "make test" in readme


def test_makefile_explains_every_target() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    assert phony
    for target in phony[1].split():
        assert re.search(rf"^{target}:.*## \w", text, re.MULTILINE), target
