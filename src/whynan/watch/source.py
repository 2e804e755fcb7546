"""Rewriting the user's source so that its loops can be handed the same item again.

    for T in ITER: BODY else: E   ->  for T in __whynan_for__(ITER, site):
                                          try: BODY
                                          except: (if __whynan_caught__(site): continue) raise
                                      else: E
    while C: BODY else: E         ->  for () in __whynan_while__(site):
                                          try: (if C: pass else: __whynan_done__(site); continue) BODY
                                          except: the same
                                      else: E
    next(it[, default])           ->  __whynan_next__(it[, default])
    break                         ->  __whynan_leave__(site); break
    return EXPR                   ->  return (EXPR, __whynan_leave__(sites of the loops around it, innermost first))[0]

`site` is an index into the `SiteTable`. The names live in `builtins`, so nothing is added to the user's locals or
globals, and a function that torch.compile traces may meet them (dynamo refuses constants it does not know, but inlines
functions). `except:` is bare because `BaseException` could be rebound by the user. Every new node carries the position
of the code it stands for: tracebacks, warnings and `co_positions` read as before.

Left as they are:

- comprehensions and `async for`: an iteration of theirs is no training iteration that could be repeated from outside;
- loops without any call: nothing in them can take an optimizer step, and a hot arithmetic loop keeps its speed;
- functions that a compiler may trace (see `traced`): a `try` around every iteration costs graph breaks;
- `next` in a module that binds the name itself. A star import is taken not to bind it;
- a file whose rewritten form does not compile (more than twenty nested blocks, say): it runs as it was written.
"""

from __future__ import annotations

import ast
import contextlib
import copy
import importlib.util
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from types import CodeType
from typing import Literal

from whynan.watch.traced import traced_functions

FOR = "__whynan_for__"
WHILE = "__whynan_while__"
DONE = "__whynan_done__"
CAUGHT = "__whynan_caught__"
NEXT = "__whynan_next__"
LEAVE = "__whynan_leave__"
NAMES = (FOR, WHILE, DONE, CAUGHT, NEXT, LEAVE)

Function = ast.FunctionDef | ast.AsyncFunctionDef
Loop = ast.For | ast.While


@dataclass(frozen=True)
class LoopSite:
    """One loop of the user's source. Lines are 1-based, columns 0-based UTF-8 offsets, as in `ast`."""

    file: str
    line: int
    column: int
    end_line: int
    function: str  # qualified name of the function around it, "<module>" outside of functions
    kind: Literal["for", "while"]
    source: str  # the line itself, stripped


class SiteTable:
    """The loops that were rewritten, numbered in the order of rewriting. Safe to append to from several threads."""

    def __init__(self) -> None:
        self._sites: list[LoopSite] = []
        self._numbers: dict[LoopSite, int] = {}
        self._lock = threading.Lock()

    def add(self, site: LoopSite) -> int:
        """The number of `site`; a loop that is already known (a reloaded module) keeps its number."""
        with self._lock:
            number = self._numbers.setdefault(site, len(self._sites))
            if number == len(self._sites):
                self._sites.append(site)
            return number

    def __getitem__(self, number: int) -> LoopSite:
        return self._sites[number]

    def __len__(self) -> int:
        return len(self._sites)

    def __iter__(self) -> Iterator[LoopSite]:
        return iter(tuple(self._sites))


SITES = SiteTable()  # the table of this process, used where no other is given
SOURCES: dict[str, str | bytes] = {}  # of the files that were rewritten


def rewrite(source: str | bytes, filename: str, sites: SiteTable = SITES) -> CodeType:
    """The code of a module with its loops rewritten; what python itself would compile where that is not possible.

    Raises whatever `compile` raises for the source as it stands.
    """
    tree = compile(source, filename, "exec", ast.PyCF_ONLY_AST, dont_inherit=True)
    assert isinstance(tree, ast.Module)
    with contextlib.suppress(Exception):
        _Rewriter(tree, _lines(source), filename, sites).rewrite()
        SOURCES[filename] = source
        return compile(tree, filename, "exec", dont_inherit=True)
    # whatever it was, the source as written decides: it compiles, or python's own error is raised
    return compile(source, filename, "exec", dont_inherit=True)


def rewrite_tree(tree: ast.Module, source: str, filename: str, sites: SiteTable = SITES) -> ast.Module:
    """The tree of a notebook cell with its loops rewritten; the tree itself where that is not possible."""
    rewritten = copy.deepcopy(tree)
    with contextlib.suppress(Exception):
        _Rewriter(rewritten, _lines(source), filename, sites).rewrite()
        compile(rewritten, filename, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        SOURCES[filename] = source
        return rewritten
    return tree


def _lines(source: str | bytes) -> list[str]:
    text = importlib.util.decode_source(source) if isinstance(source, bytes) else source
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


class _Rewriter:
    """Rewrites one module in place. Loops over explicit stacks: an `elif` chain nests a thousand deep."""

    def __init__(self, tree: ast.Module, lines: list[str], filename: str, sites: SiteTable) -> None:
        self.tree, self.lines, self.filename, self.sites = tree, lines, filename, sites
        self.untouched: set[ast.AST] = {node for function in traced_functions(tree) for node in ast.walk(function)}

    def rewrite(self) -> None:
        if any("next" in line for line in self.lines) and not _binds_next(self.tree):
            self._rewrite_next()
        pending = [_Block(self.tree.body)]
        while pending:
            block = pending.pop()
            new: list[ast.stmt] = []
            for statement in block.statements:
                if isinstance(statement, Loop) and self._wanted(statement):
                    site = self._site(statement, block.scope)
                    pending.append(_Block(statement.body, block.scope, (site, *block.loops)))
                    pending.append(_Block(statement.orelse, block.scope, block.loops))
                    new.append(_loop(statement, site))
                    continue
                pending.extend(_blocks(statement, block))
                if isinstance(statement, ast.Break | ast.Return) and statement not in self.untouched:
                    new.extend(_leaving(statement, block.loops))
                else:
                    new.append(statement)
            block.statements[:] = new  # in place: the list is already part of the tree

    def _wanted(self, loop: Loop) -> bool:
        if loop in self.untouched:
            return False
        parts: list[ast.AST] = [*loop.body]
        if isinstance(loop, ast.While):
            if isinstance(loop.test, ast.Constant) and not loop.test.value:
                return False  # `while 0:` is compiled away
            parts.append(loop.test)
        return any(isinstance(node, ast.Call | ast.Await) for part in parts for node in ast.walk(part))

    def _site(self, loop: Loop, scope: str) -> int:
        kind: Literal["for", "while"] = "for" if isinstance(loop, ast.For) else "while"
        text = self.lines[loop.lineno - 1].strip() if loop.lineno <= len(self.lines) else ""
        function = scope.rpartition(".<locals>")[0] if ".<locals>" in scope else "<module>"
        end = loop.end_lineno or loop.lineno
        return self.sites.add(LoopSite(self.filename, loop.lineno, loop.col_offset, end, function, kind, text))

    def _rewrite_next(self) -> None:
        for node in ast.walk(self.tree):
            # under `from __future__ import annotations` an annotation is text that the user may read
            for name in ("annotation", "returns"):
                annotation = getattr(node, name, None)
                if annotation is not None:
                    self.untouched.update(ast.walk(annotation))
        for node in ast.walk(self.tree):
            if not isinstance(node, ast.Call) or node in self.untouched or node.keywords:
                continue
            plain = len(node.args) in (1, 2) and not any(isinstance(argument, ast.Starred) for argument in node.args)
            if plain and isinstance(node.func, ast.Name) and node.func.id == "next":
                node.func.id = NEXT


@dataclass(frozen=True)
class _Block:
    statements: list[ast.stmt]
    scope: str = ""  # qualified name of what the block is in
    loops: tuple[int | None, ...] = ()  # the loops of the same function around it, innermost first; None: not rewritten


def _blocks(statement: ast.stmt, around: _Block) -> Iterator[_Block]:
    """The lists of statements inside a statement that is no rewritten loop."""
    scope, loops = around.scope, around.loops
    if isinstance(statement, Function | ast.ClassDef):
        scope, loops = f"{scope}.{statement.name}" if scope else statement.name, ()
        if isinstance(statement, Function):
            scope += ".<locals>"
    is_loop = isinstance(statement, Loop | ast.AsyncFor)
    for field in ("body", "orelse", "finalbody"):
        if block := getattr(statement, field, None):
            yield _Block(block, scope, (None, *loops) if is_loop and field == "body" else loops)
    for field in ("handlers", "cases"):
        for part in getattr(statement, field, ()):
            yield _Block(part.body, scope, loops)


def _loop(loop: Loop, site: int) -> ast.For:
    target: ast.expr
    if isinstance(loop, ast.For):
        # where python itself reports that something is not iterable
        at = loop.iter if sys.version_info >= (3, 13) else loop
        target, iterable = loop.target, _call(FOR, at, loop.iter, _number(site, loop.iter))
    else:
        target = ast.copy_location(ast.Tuple([], ast.Store()), loop.test)
        iterable = _call(WHILE, loop.test, _number(site, loop.test))
        if not isinstance(loop.test, ast.Constant):
            loop.body.insert(0, _leave_unless(loop, loop.test, site))  # in place: the body is still to be rewritten
    guarded = ast.Try(body=loop.body, handlers=[_handler(loop, site)], orelse=[], finalbody=[])
    body: list[ast.stmt] = [ast.copy_location(guarded, loop.body[0])]
    return ast.copy_location(ast.For(target=target, iter=iterable, body=body, orelse=loop.orelse), loop)


def _leaving(statement: ast.Break | ast.Return, loops: tuple[int | None, ...]) -> list[ast.stmt]:
    """The statement, with word of it given to the loops that it leaves; what is returned is computed before."""
    left = [site for site in (loops[:1] if isinstance(statement, ast.Break) else loops) if site is not None]
    if not left:
        return [statement]
    value = statement.value if isinstance(statement, ast.Return) else None
    if value is None or isinstance(value, ast.Constant | ast.Name):
        call = _call(LEAVE, statement, *(_number(site, statement) for site in left))
        return [ast.copy_location(ast.Expr(call), statement), statement]
    call = _call(LEAVE, value, *(_number(site, value) for site in left))
    both = ast.copy_location(ast.Tuple([value, call], ast.Load()), value)
    first = ast.copy_location(ast.Subscript(both, _number(0, value), ast.Load()), value)
    return [ast.copy_location(ast.Return(first), statement)]


def _number(number: int, at: ast.expr | ast.stmt) -> ast.Constant:
    return ast.copy_location(ast.Constant(number), at)


def _call(name: str, at: ast.expr | ast.stmt, *arguments: ast.expr) -> ast.Call:
    function = ast.copy_location(ast.Name(name, ast.Load()), at)
    return ast.copy_location(ast.Call(func=function, args=[*arguments], keywords=[]), at)


def _leave_unless(loop: ast.While, test: ast.expr, site: int) -> ast.If:
    # not `if not test`: python folds `not x is 1` into another expression, and warns of that one
    going_on = ast.copy_location(ast.Pass(), test)
    done = ast.copy_location(ast.Expr(_call(DONE, test, _number(site, test))), test)
    leave = ast.copy_location(ast.Continue(), test)
    return ast.copy_location(ast.If(test=test, body=[going_on], orelse=[done, leave]), loop)


def _handler(loop: Loop, site: int) -> ast.ExceptHandler:
    again = ast.copy_location(ast.Continue(), loop)
    caught = ast.copy_location(ast.If(test=_call(CAUGHT, loop, _number(site, loop)), body=[again], orelse=[]), loop)
    handler = ast.ExceptHandler(type=None, name=None, body=[caught, ast.copy_location(ast.Raise(), loop)])
    return ast.copy_location(handler, loop)


def _binds_next(tree: ast.Module) -> bool:
    return any("next" in _bound(node) for node in ast.walk(tree))


def _bound(node: ast.AST) -> list[str | None]:
    """The names that a node binds, or declares as another scope's."""
    match node:
        case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
            return [name]
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef() | ast.ExceptHandler():
            return [node.name]
        case ast.MatchAs() | ast.MatchStar():
            return [node.name]
        case ast.MatchMapping(rest=name):
            return [name]
        case ast.arg(arg=name):
            return [name]
        case ast.alias():
            return [node.asname or node.name.partition(".")[0]]
        case ast.Global() | ast.Nonlocal():
            return [*node.names]
    return []
