"""A patch in the running program: functions get the code that the patched source compiles to, for one attempt.

This is the exact live form of every patch that lies inside of functions which the loop's body calls: models, losses,
collate functions. It cannot be had where the patched function is executing (the loop itself, a function around it),
where its code has another closure, and for edits outside of functions; `exchange` says None there.

Each patched function tells when it runs (one call in front of its body), because a patch that was never executed has
proved nothing: `__init__` is over, a generator goes on with the code it began with.
"""

from __future__ import annotations

import ast
import builtins
import gc
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import CodeType, FrameType, FunctionType
from typing import Any

from whynan.remedy.candidate import Candidate
from whynan.remedy.edits import Edit, apply_edits
from whynan.remedy.source import FUNCTIONS, Source
from whynan.watch import source as rewriting

RAN = "__whynan_ran__"
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(eq=False)
class Exchange:
    """Functions with the code they are to get, and the names that new import lines bind. `ran` counts executions."""

    changes: list[tuple[FunctionType, CodeType]]
    names: dict[str, Any]
    ran: int = 0
    _undo: list[tuple[FunctionType, CodeType]] = field(default_factory=list)
    _added: list[tuple[dict[str, Any], str]] = field(default_factory=list)

    def install(self) -> None:
        setattr(builtins, RAN, self._count)
        for function, code in self.changes:
            self._undo.append((function, function.__code__))
            function.__code__ = code
            for name, value in self.names.items():
                if name not in function.__globals__:
                    function.__globals__[name] = value
                    self._added.append((function.__globals__, name))

    def remove(self) -> None:
        while self._undo:
            function, code = self._undo.pop()
            function.__code__ = code
        while self._added:
            scope, name = self._added.pop()
            scope.pop(name, None)
        if getattr(builtins, RAN, None) == self._count:
            delattr(builtins, RAN)

    def _count(self) -> None:
        self.ran += 1


def exchange(candidate: Candidate, frame: FrameType | None, sites: rewriting.SiteTable) -> Exchange | None:
    """What has to be exchanged for a candidate. `frame`: the user's innermost frame, which goes on executing."""
    source = candidate.source
    imports = [e for e in candidate.edits if _is_import(e)]
    edits = [e for e in candidate.edits if e not in imports]
    around = [_enclosing(source, edit) for edit in edits]
    if not edits or not all(around):
        return None
    names = _imported(imports)
    patched = _marked(candidate, list({id(f[0]): f[0] for f in around}.values()))
    if names is None or patched is None:
        return None
    live = list(_functions_of(source))
    if not live:
        return None
    new = _codes(_compiled(patched, live[0].__code__.co_filename, sites))
    running = set(_codes_on_stack(frame))
    changes: list[tuple[FunctionType, CodeType]] = []
    for innermost, *outer in around:
        found = [c for f in live if (c := _change(source, f, innermost, new)) is not None]
        if not found or any(f.__code__ in running for f, _ in found):
            return None
        changes += found
        for function in outer:  # whoever makes the inner function again makes the patched one
            changes += [
                c for f in live if (c := _change(source, f, function, new)) is not None and f.__code__ not in running
            ]
    return Exchange(list({id(f): (f, code) for f, code in changes}.values()), names)


def _is_import(edit: Edit) -> bool:
    return edit.start == edit.end and edit.text.lstrip().startswith(("import ", "from "))


def _imported(edits: list[Edit]) -> dict[str, Any] | None:
    names: dict[str, Any] = {}
    try:
        for edit in edits:
            exec(edit.text.strip(), names)  # a line of ours: `import torch`
    except ImportError:
        return None
    names.pop("__builtins__", None)
    return names


def _enclosing(source: Source, edit: Edit) -> list[Function]:
    """Functions whose body holds an edit, innermost first."""
    found = []
    for node in ast.walk(source.tree):
        if isinstance(node, FUNCTIONS):
            start, end = source.starts[node.body[0].lineno - 1], source.starts_after(node)
            beyond = edit.start == end and not edit.text.startswith(source.indent(node.body[0]))
            if start <= edit.start and edit.end <= end and not beyond:
                found.append(node)
    return sorted(found, key=lambda n: -source.span(n)[0])


def _marked(candidate: Candidate, functions: list[Function]) -> str | None:
    """The patched text with a call in front of the body of each function that was patched."""
    source, text = candidate.source, candidate.after
    try:
        new = Source(text, source.path)
    except (SyntaxError, ValueError):
        return None
    lines = []
    for function in functions:
        place = _path(source, function)
        same = next((n for n in ast.walk(new.tree) if isinstance(n, FUNCTIONS) and _path(new, n) == place), None)
        if same is None:
            return None
        first = same.body[1] if ast.get_docstring(same) is not None and len(same.body) > 1 else same.body[0]
        line = new.insert_before(first, f"{RAN}()")
        if line is None:
            return None
        lines.append(line)
    return apply_edits(text, lines).removeprefix("\ufeff")


def _path(source: Source, function: ast.AST) -> tuple[tuple[str, int], ...]:
    """Names of the functions and classes around and of a function, each with its number among those of its name."""
    out = []
    for node in [function, *source.ancestors(function)]:
        if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            above = next(a for a in source.ancestors(node) if isinstance(a, (*FUNCTIONS, ast.ClassDef, ast.Module)))
            same = [
                n for n in source.own_nodes(above) if isinstance(n, (*FUNCTIONS, ast.ClassDef)) and n.name == node.name
            ]
            out.append((node.name, same.index(node)))
    return tuple(reversed(out))


def _compiled(text: str, filename: str, sites: rewriting.SiteTable) -> CodeType:
    kept = rewriting.SOURCES.get(filename)
    try:
        return rewriting.rewrite(text, filename, sites)
    finally:
        if kept is not None:
            rewriting.SOURCES[filename] = kept


def _codes(code: CodeType) -> dict[str, list[CodeType]]:
    """Code objects by qualified name, in source order."""
    found: dict[str, list[CodeType]] = {}
    waiting = [code]
    while waiting:
        one = waiting.pop()
        found.setdefault(one.co_qualname, []).append(one)
        waiting += [c for c in one.co_consts if isinstance(c, CodeType)]
    return {name: sorted(codes, key=lambda c: c.co_firstlineno) for name, codes in found.items()}


def _functions_of(source: Source) -> Iterator[FunctionType]:
    """The live functions of a file."""
    path = os.path.realpath(source.path)
    known: dict[str, bool] = {}
    for item in gc.get_objects():
        if type(item) is FunctionType:
            name = item.__code__.co_filename
            if name not in known:
                known[name] = os.path.realpath(name) == path
            if known[name]:
                yield item


def _change(
    source: Source, live: FunctionType, function: Function, new: dict[str, list[CodeType]]
) -> tuple[FunctionType, CodeType] | None:
    """The code for a live function, if it is the one that the source has at `function`."""
    old = live.__code__
    first = min([function.lineno, *(d.lineno for d in function.decorator_list)])
    if old.co_firstlineno != first or old.co_name != function.name:
        return None
    order = [n for n in ast.walk(source.tree) if isinstance(n, FUNCTIONS) and _qualname(source, n) == old.co_qualname]
    order.sort(key=lambda n: n.lineno)
    codes = new.get(old.co_qualname, [])
    if function not in order or len(codes) != len(order):
        return None
    code = codes[order.index(function)]
    return (live, code) if code.co_freevars == old.co_freevars else None


def _qualname(source: Source, function: ast.AST) -> str:
    parts: list[str] = []
    for node in [function, *source.ancestors(function)]:
        if isinstance(node, FUNCTIONS) and parts:
            parts.append("<locals>")
        if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            parts.append(node.name)
    return ".".join(reversed(parts))


def _codes_on_stack(frame: FrameType | None) -> Iterator[CodeType]:
    while frame is not None:
        yield frame.f_code
        frame = frame.f_back
