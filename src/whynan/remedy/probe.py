"""A look at the very line of the birth, for a bad value that reaches neither a loss nor a parameter (a metric, a
report).

The trial's copy of the file gets one call behind the statement of the birth, or around what it returns; the checker
puts
the function into builtins. The user's file and the patch that is handed over do not contain it.
"""

from __future__ import annotations

import ast
import difflib
from dataclasses import dataclass

from whynan.remedy import flow
from whynan.remedy.edits import Edit, apply_edits
from whynan.remedy.finder import statement_at
from whynan.remedy.source import Source

NAME = "__whynan_probe__"


@dataclass(frozen=True)
class Probe:
    """Which line of which file (relative to the root of the diffs) to look at, and for which kind of value."""

    file: str
    line: int
    kind: str  # "nan" or "inf"


def moved_line(before: str, after: str, line: int) -> int:
    """Where a line of `before` is in `after`; the first line of what replaced it, if it was changed."""
    a, b = before.split("\n"), after.split("\n")
    for tag, i, j, k, n in difflib.SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if i <= line - 1 < j:
            return k + (line - 1 - i) + 1 if tag == "equal" else min(k + (line - 1 - i), max(k, n - 1)) + 1
    return line


def probed(text: str, line: int) -> str | None:
    """The text with the look put in; None where the statement gives nothing to look at."""
    try:
        source = Source(text)
    except (SyntaxError, ValueError):
        return None
    statement = statement_at(source, line)
    if statement is None:
        return None
    if isinstance(statement, (ast.Return, ast.Expr)) and statement.value is not None:
        start, end = source.span(statement.value)
        return apply_edits(text, [Edit(start, start, f"{NAME}("), Edit(end, end, ")")])
    names = [source.segment(t) for t, _ in flow.targets(statement) if isinstance(t, (ast.Name, ast.Attribute))]
    edit = (
        source.insert_after(statement, f"{NAME}({', '.join(names)})")
        if names and not isinstance(statement, flow.BLOCKS)
        else None
    )
    return apply_edits(text, [edit]) if edit else None
