"""Rewritten loops while torch.compile traces them: plain python that dynamo can follow, without a graph break.

A run time that watches looks at frames, which dynamo cannot. So each of its functions asks first:

    def for_(iterable, site):  if compiling(): return iterable
    def while_(site):          if compiling(): return traced_while(site)
    def done(site):            if compiling(): return traced_done(site)
    def leave(*sites):         if compiling(): return traced_leave(*sites)
    def caught(site):          if compiling(): return False
    def next_(*args):          if compiling(): return next(*args)
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

_running: list[tuple[int, list[bool]]] = []  # the `while` loops being traced, innermost last: site, the ends of it


def compiling() -> bool:
    return "torch" in sys.modules and sys.modules["torch"].compiler.is_compiling()


def traced_while(site: int) -> Iterator[tuple[()]]:
    ends: list[bool] = []
    _running.append((site, ends))
    return _until(ends)


def _until(ends: list[bool]) -> Iterator[tuple[()]]:
    while not ends:
        yield ()


def traced_done(site: int) -> None:
    while _running:  # above it lie loops that an exception has left
        running, ends = _running.pop()
        if running == site:
            ends.append(True)
            return


def traced_leave(*sites: int) -> None:
    while _running and _running[-1][0] in sites:
        _running.pop()
