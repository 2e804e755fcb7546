"""Whether the program around an expression takes care of the bad case already.

A test that names what is used (`if n > 0:`, `assert mask.any()`, an early return), a repair of the result
(`nan_to_num`, `isnan`, `isfinite`, a `where` around it), `np.errstate`. Any mention counts: better silent than wrong.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from whynan.lint.calls import callers
from whynan.lint.file import File
from whynan.remedy import flow
from whynan.remedy.source import FUNCTIONS

TESTS = (ast.If, ast.While, ast.IfExp)
EXITS = (ast.Return, ast.Raise, ast.Continue, ast.Break)
REPAIRS = frozenset(
    "is_nan is_inf nan_to_num nan_to_num_ isnan isinf isfinite where masked_fill masked_fill_ nanmean nansum".split()
)
LEAVE = frozenset("item numpy tolist".split())
CONVERTERS = frozenset("float int to_numpy as_numpy tensor2numpy".split())
STABLE = re.compile(r"(^|[._ ])(un)?stable\b|numerically")
_PLAIN = frozenset("self torch np F nn math numpy cls".split())


def guarded(file: File, node: ast.expr, *about: ast.AST) -> bool:
    """Whether a test or a repair speaks of the expression `node`; `about`: what must not be 0 there.

    What is only reported as a number counts as taken care of: no training goes on with it.
    """
    names = names_of(file, *(about or (node,)))
    if names & (_kept(file) | _repaired_before(file, node)):
        return True
    return _tested(file, node, names) or _repaired(file, node) or reported(file, node)


def reported(file: File, node: ast.AST) -> bool:
    """Whether what an expression is part of becomes a number or an array at once: `x.mean().sqrt().item()`."""
    for outer in file.ancestors(node):
        if isinstance(outer, ast.Attribute) and outer.attr in LEAVE:
            return True
        if isinstance(outer, ast.Call) and flow.last_name(outer.func) in CONVERTERS:
            return True
        if isinstance(outer, (ast.stmt, ast.Subscript, ast.Lambda)):
            return False
    return False


def _kept(file: File) -> set[str]:
    """Names of which somewhere one entry is set for every row, so that none is empty: `mask[:, 0] = True`."""
    cache = file.__dict__.get("_kept")
    if cache is None:
        cache = set()
        for node in file.all(ast.Assign):
            assert isinstance(node, ast.Assign)
            if isinstance(node.value, ast.Constant) and isinstance(node.value.value, bool):
                cache |= {
                    target.value.id
                    for target in node.targets
                    if isinstance(target, ast.Subscript) and isinstance(target.value, ast.Name) and _one_entry(target)
                }
        file.__dict__["_kept"] = cache
    found: set[str] = cache
    return found


def _repaired_before(file: File, node: ast.expr) -> set[str]:
    """Names of which the bad entries were overwritten above: `preds[preds <= 0] = eps`."""
    return {
        target.value.id
        for earlier in file.own_nodes(file.scope(node))
        if isinstance(earlier, ast.Assign) and earlier.lineno < node.lineno
        for target in earlier.targets
        if isinstance(target, ast.Subscript) and isinstance(target.value, ast.Name)
        if isinstance(target.slice, ast.Compare)
    }


def _one_entry(target: ast.Subscript) -> bool:
    """[:, 0], [..., 0] or [0]: a place that is written down."""
    index = target.slice.elts if isinstance(target.slice, ast.Tuple) else [target.slice]
    return any(isinstance(i, ast.Constant) and isinstance(i.value, int) for i in index)


def names_of(file: File, *nodes: ast.AST, hops: int = 2) -> set[str]:
    """The variables in expressions, and those in the definitions of these: `n`, and the `mask` that n is the sum of."""
    out: set[str] = set()
    level = list(nodes)
    for hop in range(hops + 1):
        following: list[ast.AST] = []
        for node in level:
            for inner in ast.walk(node):
                if isinstance(inner, ast.Attribute) and isinstance(inner.value, ast.Name) and inner.value.id == "self":
                    out.add(f"self.{inner.attr}")
                if isinstance(inner, ast.Name) and inner.id not in _PLAIN and inner.id not in file.aliases:
                    if inner.id in out:
                        continue
                    out.add(inner.id)
                    value = flow.definition(file, inner) if hop < hops and inner in file.parents else None
                    if value is not None:
                        following.append(value)
        level = following
    return out


def _tested(file: File, node: ast.expr, names: set[str]) -> bool:
    inner: ast.AST = node
    for outer in file.ancestors(node):
        if isinstance(outer, TESTS) and inner is not outer.test:
            if STABLE.search(ast.unparse(outer.test)):
                return True  # somebody chose the other way
            tested = [outer.test, *_named_tests(file, outer.test)]
            if any(_mentions(test, names) for test in tested):
                return True
        if isinstance(outer, ast.comprehension) or (hasattr(outer, "generators") and inner not in outer.generators):
            tests = [t for g in getattr(outer, "generators", ()) for t in g.ifs]
            if any(_mentions(t, names) for t in tests):
                return True
        if isinstance(outer, ast.BoolOp) and any(_mentions(v, names) for v in outer.values if v is not inner):
            return True
        if isinstance(inner, ast.stmt) and _before(outer, inner, names):
            return True
        if isinstance(outer, (ast.With, ast.AsyncWith)) and any("errstate" in ast.unparse(i) for i in outer.items):
            return True
        if isinstance(outer, FUNCTIONS):
            return _called_tested(file, outer, names)
        inner = outer
    return False


def _called_tested(file: File, function: ast.FunctionDef | ast.AsyncFunctionDef, names: set[str]) -> bool:
    """Whether a function inside of another is only called under a test: `scaled(x) if high > low else x`."""
    if not isinstance(file.parents.get(function), FUNCTIONS):
        return False
    found = callers(file, function)
    tests = [[a.test for a in file.ancestors(call) if isinstance(a, TESTS)] for call in found]
    return bool(found) and all(any(_mentions(t, names) for t in tested) for tested in tests)


def _named_tests(file: File, test: ast.expr) -> list[ast.expr]:
    """What the names in a test were assigned: `exists = area > 0` of `if exists:`."""
    names = [n for n in ast.walk(test) if isinstance(n, ast.Name)]
    return [value for n in names if (value := flow.definition(file, n)) is not None]


def _before(outer: ast.AST, inner: ast.stmt, names: set[str]) -> bool:
    """Whether a statement before `inner` in the same block leaves, complains or changes something by the names."""
    for block in ("body", "orelse", "finalbody"):
        statements = getattr(outer, block, None)
        if isinstance(statements, list) and inner in statements:
            for earlier in statements[: statements.index(inner)]:
                if isinstance(earlier, ast.Assert) and _mentions(earlier.test, names):
                    return True
                if isinstance(earlier, ast.If) and _mentions(earlier.test, names):
                    return True
                if (
                    isinstance(earlier, ast.Expr)
                    and isinstance(earlier.value, ast.Call)
                    and _checks(earlier.value, names)
                ):
                    return True
    return False


def _checks(call: ast.Call, names: set[str]) -> bool:
    """torch._assert(n > 0), check_positive(n), validate(...)."""
    name = flow.last_name(call.func) or ""
    return any(w in name.lower() for w in ("assert", "check", "valid", "require", "ensure")) and any(
        _mentions(a, names) for a in call.args
    )


def _mentions(test: ast.AST, names: set[str]) -> bool:
    """Whether a test names one of the names."""
    for inner in ast.walk(test):
        if isinstance(inner, ast.Name) and inner.id in names:
            return True
        if isinstance(inner, ast.Attribute) and isinstance(inner.value, ast.Name) and f"self.{inner.attr}" in names:
            return inner.value.id == "self"
    return False


def _repaired(file: File, node: ast.expr) -> bool:
    """Whether the value, or the variable it goes to, is looked at for NaN or Inf, or chosen from afterwards."""
    for outer in file.ancestors(node):
        if isinstance(outer, ast.Call) and flow.last_name(outer.func) in REPAIRS:
            return True
        if isinstance(outer, ast.stmt):
            break
    statement = file.statement(node)
    kept = {ast.unparse(t) for t, _ in flow.targets(statement)}
    return bool(kept & _repairs(file, file.scope(node))) or _stored_into(file, statement, kept)


def _stored_into(file: File, statement: ast.stmt, names: set[str]) -> bool:
    """Whether a part of the result is overwritten later in the function: `angle[~inside] = 0`."""
    return any(
        isinstance(target, ast.Subscript)
        and ast.unparse(target.value) in names
        and not isinstance(target.slice, (ast.Constant, ast.Slice, ast.Tuple))
        and later.lineno > statement.lineno
        for later in file.own_nodes(file.scope(statement))
        if isinstance(later, ast.Assign)
        for target in later.targets
    )


def _repairs(file: File, scope: ast.AST) -> set[str]:
    """Names in a function that are looked at for NaN or Inf, cleaned, or compared with an infinity."""
    cache = file.__dict__.setdefault("_repairs", {})
    if scope not in cache:
        found: set[str] = set()
        for node in file.own_nodes(scope):
            for value in _looked_at(node):
                found |= {
                    ast.unparse(n) for n in ast.walk(value) if isinstance(n, (ast.Name, ast.Attribute, ast.Subscript))
                }
        cache[scope] = found
    result: set[str] = cache[scope]
    return result


def _looked_at(node: ast.AST) -> Iterator[ast.expr]:
    if isinstance(node, ast.Call) and flow.last_name(node.func) in REPAIRS:
        yield from node.args
        if isinstance(node.func, ast.Attribute):
            yield node.func.value
    if isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        if any("inf" in ast.unparse(s).lower() for s in sides) or (
            len(sides) == 2 and ast.dump(sides[0]) == ast.dump(sides[1])
        ):
            yield from sides
