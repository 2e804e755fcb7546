"""Reports get shared: files beneath the folder that the program was started in are named relative to it."""

from __future__ import annotations

import os
from dataclasses import replace

from .facts import Report


def relative_to(report: Report, folder: str) -> Report:
    """The report with every path beneath `folder` relative to it; other paths stay as they are."""

    def short(path: str | None) -> str | None:
        if path is None or not os.path.isabs(path):
            return path
        inside = os.path.commonpath([os.path.realpath(path), os.path.realpath(folder)]) == os.path.realpath(folder)
        return os.path.relpath(os.path.realpath(path), os.path.realpath(folder)) if inside else path

    birth = report.birth
    if birth is not None:
        stack = tuple(replace(site, file=short(site.file) or site.file) for site in birth.stack)
        birth = replace(birth, file=short(birth.file), stack=stack)
    path = tuple(replace(step, file=short(step.file)) for step in report.path)
    return replace(report, birth=birth, path=path)
