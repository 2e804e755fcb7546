"""Look at this installation: versions, and whether the parts of PyTorch that whynan leans on are as it knows them."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib import import_module
from typing import Any

from .. import __version__

NAME = "doctor"
HELP = "check this installation"

_CHECKS = "whynan.watch.doctor"
_PACKAGES = ("torch", "numpy", "rich", "jinja2")


def prepare_parser(parser: argparse.ArgumentParser) -> None:
    """No options."""


def run(options: argparse.Namespace) -> int:
    """Print versions and checks on stdout. Status 1 if a check fails."""
    import platform

    print(f"whynan {__version__}, Python {platform.python_version()} on {platform.system()} {platform.machine()}")
    for package in _PACKAGES:
        print(f"  {package:8} {_version(package)}")
    results = [_result(item) for item in _checks()()]
    for name, good, detail in results:
        print(f"  {'ok  ' if good else 'FAIL'} {name}{': ' + detail if detail else ''}")
    failed = sum(not good for _, good, _ in results)
    if failed:
        print(f"{failed} of {len(results)} checks failed: please report this, with the lines above.")
    elif results:
        print(f"all {len(results)} checks passed")
    return 1 if failed else 0


def _version(package: str) -> str:
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _checks() -> Callable[[], Any]:
    """The self-tests of the watching part, where this version has them."""
    try:
        checks: Callable[[], Any] = import_module(_CHECKS).checks
        return checks
    except ModuleNotFoundError as error:
        if error.name == _CHECKS:
            return lambda: ()
        raise


def _result(item: Any) -> tuple[str, bool, str]:
    """(name, passed, detail) of one check, which is such a tuple or an object with these attributes."""
    if isinstance(item, tuple):
        name, good, *detail = item
        return str(name), bool(good), str(detail[0]) if detail and detail[0] else ""
    return item.name, bool(item.ok), str(getattr(item, "detail", "") or "")
