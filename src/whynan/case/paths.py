"""Reports get shared: files beneath the folder that the program was started in are named relative to it."""

from __future__ import annotations

import os
from dataclasses import replace

from .facts import Report


def relative_to(report: Report, folder: str) -> Report:
    """The report with every path beneath `folder` relative to it; other paths stay as they are."""
    birth = report.birth
    if birth is not None:
        stack = tuple(replace(site, file=shortened(site.file, folder) or site.file) for site in birth.stack)
        birth = replace(birth, file=shortened(birth.file, folder), stack=stack)
    path = tuple(replace(step, file=shortened(step.file, folder)) for step in report.path)
    return replace(report, birth=birth, path=path)


def shortened(path: str | None, folder: str) -> str | None:
    """A path beneath `folder` as it is typed there."""
    if path is None or not os.path.isabs(path):
        return path
    inside = os.path.commonpath([os.path.realpath(path), os.path.realpath(folder)]) == os.path.realpath(folder)
    return os.path.relpath(os.path.realpath(path), os.path.realpath(folder)) if inside else path
