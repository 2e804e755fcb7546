"""From a running frame to the very expression it was evaluating. Standard library only.

Keep `(frame.f_code, frame.f_lasti)` while the program runs, which costs nothing, and ask `site_of` later: since Python
3.11 a code object knows the columns of every instruction (`co_positions`, PEP 657).
"""

from __future__ import annotations

import ast
import linecache
from functools import lru_cache
from itertools import islice
from types import CodeType

from whynan.case.facts import Site

Spot = tuple[CodeType, int]  # (frame.f_code, frame.f_lasti)


def site_of(code: CodeType, lasti: int) -> Site:
    """The place in the source that instruction `lasti` of `code` belongs to."""
    line, end_line, column, end_column = _position(code, lasti)
    source = linecache.getline(code.co_filename, line).rstrip("\n") or None
    return Site(
        file=code.co_filename,
        line=line,
        end_line=end_line,
        column=column,
        end_column=end_column,
        function=code.co_qualname,
        source=source,
        expression=text_between(code.co_filename, line, end_line, column, end_column),
    )


def _position(code: CodeType, lasti: int) -> tuple[int, int | None, int | None, int | None]:
    if lasti >= 0:
        line, end_line, column, end_column = next(islice(code.co_positions(), lasti // 2, None), (None,) * 4)
        if line is not None:
            return line, end_line, column, end_column
    return code.co_firstlineno, None, None, None


def text_between(file: str, line: int, end_line: int | None, column: int | None, end_column: int | None) -> str | None:
    """Source between two places, on one line. Columns are UTF-8 offsets, as in `ast`. None when unknown."""
    if end_line is None or column is None or end_column is None:
        return None
    lines = [linecache.getline(file, n).encode() for n in range(line, end_line + 1)]
    if not lines or not all(lines):
        return None
    lines[-1] = lines[-1][:end_column]
    lines[0] = lines[0][column:]
    return " ".join(part for part in (text.decode(errors="replace").strip() for text in lines) if part) or None


def call_text(site: Site) -> str | None:
    """The call as its author wrote it: "torch.log" for a function of a module, "x.log()" for a method, else the text.

    `F.softmax(s / t, dim=-1)` gives "F.softmax"; `(a - b).sqrt()` gives "(a - b).sqrt()"; `a / b` stays as it is.
    """
    if not site.expression:
        return None
    try:
        node = ast.parse(site.expression.strip()).body[0]
    except (SyntaxError, ValueError, IndexError):
        return site.expression
    call = node.value if isinstance(node, ast.Expr) else None
    if not isinstance(call, ast.Call):
        return site.expression
    head = ast.unparse(call.func) if not isinstance(call.func, ast.Attribute) else _dotted(call.func, site.expression)
    root = call.func
    while isinstance(root, ast.Attribute):
        root = root.value
    of_module = isinstance(root, ast.Name) and root.id in _modules(site.file)
    return head if of_module else f"{head}()"


def _dotted(func: ast.Attribute, expression: str) -> str:
    return ast.get_source_segment(expression.strip(), func) or ast.unparse(func)


@lru_cache(maxsize=64)
def _modules(file: str) -> frozenset[str]:
    """Names that a file binds by import, and those that are modules everywhere by habit."""
    names = {"torch", "F", "nn", "np", "math"}
    try:
        tree = ast.parse("".join(linecache.getlines(file)))
    except (SyntaxError, ValueError):
        return frozenset(names)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names.update((alias.asname or alias.name).split(".")[0] for alias in node.names)
    return frozenset(names)
