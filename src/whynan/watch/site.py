"""Which loop of a file that was not rewritten is a frame at?"""

from __future__ import annotations

import ast
import contextlib
import functools
import linecache
from types import FrameType

from whynan.watch.source import LoopSite


def site_of(frame: FrameType) -> LoopSite:
    """The innermost `for` around the line that the frame is at; the line itself where there is none to read."""
    return _site_at(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_qualname)


@functools.cache
def _site_at(file: str, line: int, function: str) -> LoopSite:
    lines = linecache.getlines(file)
    found: ast.For | None = None
    with contextlib.suppress(SyntaxError, ValueError):
        for node in ast.walk(ast.parse("".join(lines))):
            if isinstance(node, ast.For) and node.lineno <= line <= (node.end_lineno or node.lineno):
                found = node if found is None or node.lineno >= found.lineno else found
    if found is None:
        return LoopSite(file, line, 0, line, function, "for", linecache.getline(file, line).strip())
    source = lines[found.lineno - 1].strip()
    return LoopSite(file, found.lineno, found.col_offset, found.end_lineno or line, function, "for", source)
