"""The run time that does nothing, and how another one takes over from it."""

from __future__ import annotations

import builtins
import sys
from typing import Any

import pytest

from whynan.watch import inert
from whynan.watch.source import DONE, WHILE, SiteTable, rewrite


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Any:
    def put(functions: dict[str, Any]) -> None:
        for name, function in functions.items():
            monkeypatch.setattr(builtins, name, function, raising=False)

    put(inert.inert_names())
    return put


def test_a_loop_that_began_inert_can_be_ended_by_another_run_time(install: Any) -> None:
    def take_over() -> None:
        def done(site: int) -> None:
            inert.finish(sys._getframe(1), site)

        install({DONE: done, WHILE: None})

    space: dict[str, Any] = {"take_over": take_over}
    exec(rewrite("n = 0\nwhile n < 3:\n    n += 1\n    take_over()\nelse: n = -n\n", "x.py", SiteTable()), space)
    assert space["n"] == -3


def test_finish_knows_only_its_own_loops() -> None:
    inert.finish(sys._getframe(), 10**9)


def test_loops_that_end_otherwise_leave_nothing_behind(install: Any) -> None:
    source = "def f(x):\n    while True:\n        try: str(x)\n        finally: return x\nfor _ in range(3): f(1)\n"
    before = dict(inert._running)
    exec(rewrite(source, "x.py", SiteTable()), {})
    assert inert._running == before


def test_keeping_twice_keeps_once() -> None:
    inert.keep_to_the_end()
    keeper = vars(builtins)["__whynan_keeper__"]
    inert.keep_to_the_end()
    assert vars(builtins)["__whynan_keeper__"] is keeper
