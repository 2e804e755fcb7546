"""Code that is pickled by value is the user's own."""

from __future__ import annotations

from types import CodeType, FunctionType, SimpleNamespace
from typing import Any

import pytest

from watch.snippets import names_used
from whynan.watch import pickling
from whynan.watch.pickling import original
from whynan.watch.source import SiteTable, rewrite

SOURCE = """\
def outer(k):
    def inner(n):
        out = [k]
        for i in range(n): out.append(i)
        while len(out) < 3: out.append('w')
        return out
    return inner
def plain(x): return x
pair = (lambda it: next(it)), (lambda it: next(it, 'none'))
"""


@pytest.fixture
def space() -> dict[str, Any]:
    space: dict[str, Any] = {"__name__": "pickled"}
    exec(rewrite(SOURCE, "pickled.py", SiteTable()), space)
    return space


def test_original_code_works_where_nobody_knows_whynan(space: dict[str, Any]) -> None:
    inner = space["outer"]("k")
    assert names_used(inner.__code__)
    sent = FunctionType(original(inner.__code__), {}, "inner", None, inner.__closure__)
    assert not names_used(sent.__code__)
    assert sent(1) == ["k", 0, "w"]
    assert not names_used(original(space["outer"].__code__))


def test_lambdas_of_one_line_are_told_apart(space: dict[str, Any]) -> None:
    first, second = (FunctionType(original(f.__code__), {}) for f in space["pair"])
    assert (first(iter("a")), second(iter(""))) == ("a", "none")


def test_code_that_was_not_rewritten_is_itself(space: dict[str, Any]) -> None:
    assert original(space["plain"].__code__) is space["plain"].__code__
    assert original(original.__code__) is original.__code__


def test_picklers_are_taught(space: dict[str, Any]) -> None:
    code = space["outer"].__code__

    class CloudPickler:
        _dispatch_table = {CodeType: lambda code: (names_used(code),)}

    class Pickler:
        dispatch = {CodeType: lambda pickler, code: names_used(code)}

    pickling.PICKLERS["cloudpickle.cloudpickle"](SimpleNamespace(CloudPickler=CloudPickler))  # type: ignore[arg-type]
    pickling.PICKLERS["dill._dill"](SimpleNamespace(Pickler=Pickler))  # type: ignore[arg-type]
    assert CloudPickler._dispatch_table[CodeType](code) == (set(),)
    assert Pickler.dispatch[CodeType](None, code) == set()
