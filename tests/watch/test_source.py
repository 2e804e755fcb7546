"""Rewritten code computes what the original computes, and tells the run time what it needs."""

from __future__ import annotations

import builtins
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watch.snippets import RUNTIMES, SNIPPETS, UNTOUCHED, both, driving, names_used, run_code
from whynan.watch.source import CAUGHT, DONE, FOR, LEAVE, NAMES, NEXT, WHILE, LoopSite, SiteTable, rewrite


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Any:
    def install(**functions: Any) -> None:
        for name, function in (driving() | functions).items():
            monkeypatch.setattr(builtins, name, function, raising=False)

    return install


@pytest.mark.parametrize("kind", RUNTIMES)
@pytest.mark.parametrize("name", SNIPPETS)
def test_snippet_does_the_same(name: str, kind: str, tmp_path: Path) -> None:
    expected, found, rewritten = both(name, RUNTIMES[kind], str(tmp_path))
    assert found == expected
    assert rewritten == (name not in UNTOUCHED)


def test_the_comparison_can_fail(tmp_path: Path) -> None:
    def skipping() -> dict[str, Any]:
        return driving() | {FOR: lambda iterable, site: list(iterable)[1:]}

    expected, found, _ = both("for", skipping, str(tmp_path))
    assert found != expected


def sites_of(source: str) -> list[LoopSite]:
    sites = SiteTable()
    rewrite(textwrap.dedent(source), "x.py", sites)
    return sorted(sites, key=lambda site: site.line)


def test_sites_say_where_the_loops_are() -> None:
    found = sites_of(
        """\
        for i in a:
            print(i)

        class A:
            def m(self):
                def inner():
                    while (x := f()):
                        print(
                            x)
                return [inner() for _ in range(2)]
            for k in b: print(k)
        """
    )
    assert found == [
        LoopSite("x.py", 1, 0, 2, "<module>", "for", "for i in a:"),
        LoopSite("x.py", 7, 12, 9, "A.m.<locals>.inner", "while", "while (x := f()):"),
        LoopSite("x.py", 11, 4, 11, "<module>", "for", "for k in b: print(k)"),
    ]


def test_sites_of_bytes_with_a_cookie() -> None:
    sites = SiteTable()
    rewrite("# coding: latin-1\nfor ä in f():\n    g(ä)\n".encode("latin-1"), "x.py", sites)
    assert sites[0].source == "for ä in f():"


def test_a_reloaded_module_keeps_its_sites() -> None:
    sites = SiteTable()
    for _ in range(2):
        rewrite("for i in a:\n    f(i)\nwhile f(): pass\n", "x.py", sites)
    assert len(sites) == 2


def test_sites_from_several_threads_get_numbers_of_their_own() -> None:
    sites = SiteTable()
    numbers: list[int] = []

    def add(thread: int) -> None:
        for line in range(200):
            numbers.append(sites.add(LoopSite(f"{thread}.py", line, 0, line, "<module>", "for", "")))

    threads = [threading.Thread(target=add, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers) == list(range(800))


def test_an_iteration_can_be_repeated(runtime: Any, tmp_path: Path) -> None:
    """The run time yields the same item again, after an exception left the body and `caught` said to go on."""
    again: list[bool] = []

    def for_(iterable: Any, site: int) -> Iterator[Any]:
        for item in iterable:
            yield item
            while again and again.pop():
                yield item

    def caught(site: int) -> bool:
        again.append(True)
        return isinstance(sys.exc_info()[1], ZeroDivisionError)

    runtime(**{FOR: for_, CAUGHT: caught})
    source = "tries = []\nfor i in range(3):\n    tries.append(i)\n    log(1 / (len(tries) - 2))\n"
    done = run_code(rewrite(source, "x.py", SiteTable()), "x.py")
    assert done["values"]["tries"] == "[0, 1, 1, 2]"
    assert done["ending"] == ""


def test_leaving_is_announced_when_the_value_is_known(runtime: Any) -> None:
    """`break` leaves one loop, `return` all of the function, innermost first; continue, exceptions and ends none."""
    source = textwrap.dedent(
        """\
        def f(n):
            for i in range(3):
                while True:
                    for x in [1]:
                        x += 1  # without a call: not rewritten
                        if n == 5: break
                    if n == 0: break
                    if n == 1: return log('value') or 'v'
                    if n == 2: return
                    log(i)
                    if n == 3: raise KeyError
                    if n == 4: return n
                    if n == 5: break
                else:
                    log('no')
                continue
        log('calling', f(N))
        """
    )
    outcomes = []
    for n in range(6):
        lines: list[Any] = []
        runtime(**{LEAVE: lambda *sites, lines=lines: lines.append(sites)})
        sites = SiteTable()
        code = rewrite(source.replace("N", str(n)), "x.py", sites)
        number = {sites[i].kind: i for i in range(len(sites))}
        space = {"log": lambda *args, lines=lines: lines.append(("log", *args))}
        try:
            exec(code, space)
        except KeyError:
            lines.append("KeyError")
        inner, outer = number["while"], number["for"]
        outcomes.append([{(inner,): "inner", (inner, outer): "both"}.get(line, line) for line in lines])
    assert outcomes == [
        ["inner"] * 3 + [("log", "calling", None)],
        [("log", "value"), "both", ("log", "calling", "v")],
        ["both", ("log", "calling", None)],
        [("log", 0), "KeyError"],
        [("log", 0), "both", ("log", "calling", 4)],
        [("log", 0), "inner", ("log", 1), "inner", ("log", 2), "inner", ("log", "calling", None)],
    ]


def test_nothing_is_added_to_the_users_code_but_names_of_the_run_time() -> None:
    source = SNIPPETS["locals_unchanged"]
    plain, new = compile(source, "x.py", "exec"), rewrite(source, "x.py", SiteTable())
    f, g = (next(c for c in code.co_consts if hasattr(c, "co_code")) for code in (plain, new))
    assert f.co_varnames == g.co_varnames
    assert set(g.co_names) - set(f.co_names) == {FOR, WHILE, DONE, CAUGHT}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", SNIPPETS)
def test_positions_of_the_users_expressions_are_kept(name: str) -> None:
    """Every range of the source that an instruction had before, one has now."""
    source = SNIPPETS[name]
    assert not positions(compile(source, "x.py", "exec")) - positions(rewrite(source, "x.py", SiteTable()))


def positions(code: Any) -> set[tuple[Any, ...]]:
    """Ranges within one line; wider ones belong to statements, and python has no use for them."""
    own = {p for p in code.co_positions() if p[0] == p[1] and p[2] is not None and p[2] != p[3]}
    return own.union(*(positions(inner) for inner in code.co_consts if hasattr(inner, "co_code")))


@pytest.mark.parametrize(
    "source",
    [
        "x = = 1",
        "for i in f():\n    g(i)\nreturn",
        "break",
        "for i in f(): g()\n  x",
        "def f():\n  global a\n  a: int",
        "'\\",
        b"\xff",
        b"# coding: none\n",
        "\0",
    ],
)
def test_errors_are_those_of_python(source: str | bytes) -> None:
    errors = []
    for make in (lambda: compile(source, "x.py", "exec"), lambda: rewrite(source, "x.py", SiteTable())):
        with pytest.raises((SyntaxError, ValueError)) as raised:
            make()
        errors.append((raised.type, raised.value.args, raised.value.__context__))
    assert errors[0] == errors[1]


def test_what_cannot_be_rewritten_runs_as_it_is() -> None:
    deep = "".join("    " * depth + f"for i{depth} in range(1):\n" for depth in range(15)) + "    " * 15 + "f()\n"
    assert not names_used(rewrite(deep, "x.py", SiteTable()))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("next(a)", True),
        ("next(a, b)", True),
        ("next()", False),
        ("next(*a)", False),
        ("next(a, default=1)", False),
        ("x.next(a)", False),
        ("from m import *\nnext(a)", True),
        ("from m import next\nnext(a)", False),
        ("import next.b\nnext(a)", False),
        ("def f():\n    next = 1\nnext(a)", False),
        ("class next: pass\nnext(a)", False),
        ("def f(*, next): pass\nnext(a)", False),
        ("for next in a: pass\nnext(a)", False),
        ("[next for next in a]\nnext(a)", False),
        ("match a:\n    case [*next]: pass\nnext(a)", False),
        ("try: pass\nexcept E as next: pass\nnext(a)", False),
        ("(lambda next: next(a))(b)", False),
        ("class M:\n    def forward(self): return next(self.parameters())", False),
        ("def f(x: next(a)): pass", False),
    ],
)
def test_next(source: str, expected: bool) -> None:
    assert (NEXT in names_used(rewrite(source, "x.py", SiteTable()))) == expected


# programs that hypothesis makes up ------------------------------------------------------------------------------------


def _indent(lines: list[str]) -> list[str]:
    return ["    " + line for line in lines]


def _statements(in_loop: bool, depth: int) -> st.SearchStrategy[list[str]]:
    number = st.integers(0, 3)
    simple = [
        number.map(lambda n: [f"log({n})"]),
        number.map(lambda n: [f"if step() % 4 == {n}: raise ValueError({n})"]),
        st.sampled_from([["return"], ["return step()"], ["return x"], ["x = step()"], ["yield_(x)"]]),
    ]
    if in_loop:
        simple += [number.map(lambda n, word=word: [f"if step() % 3 == {n}: {word}"]) for word in ("break", "continue")]
    one = st.one_of(simple)
    if depth:
        inside = _statements(in_loop, depth - 1)
        body = _statements(True, depth - 1)
        heads = st.sampled_from(["for y in range(step() % 4):", "while step() % 3:", "while True:"])
        loop = st.tuples(heads, body, inside)
        two = st.tuples(inside, inside)
        one = st.one_of(
            one,
            loop.map(lambda parts: [parts[0], *_indent(["step()", *parts[1]]), "else:", *_indent(parts[2])]),
            st.tuples(number, inside).map(lambda p: [f"if step() % 3 == {p[0]}:", *_indent(p[1])]),
            two.map(lambda p: ["try:", *_indent(p[0]), "except ValueError:", *_indent(p[1])]),
            two.map(lambda p: ["try:", *_indent(p[0]), "finally:", *_indent(["log('f')", *p[1]])]),
            inside.map(lambda p: ["with context():", *_indent(p)]),
        )
    return st.lists(one, min_size=1, max_size=3).map(lambda parts: [line for part in parts for line in part])


PRELUDE = """\
import contextlib
fuel = 200
x = None
class Empty(Exception): pass
def step():
    global fuel
    fuel -= 1
    if fuel < 0: raise Empty
    return fuel * 7919 % 13
@contextlib.contextmanager
def context():
    log('in')
    try: yield
    finally: log('out')
def yield_(x): log('yield', x)
def program():
    x = y = 0
"""


@given(_statements(False, 3), st.booleans())
@settings(max_examples=30, deadline=None)
def test_any_program_does_the_same(body: list[str], generator: bool) -> None:
    lines = [line.replace("yield_(x)", "yield x") if generator else line for line in body]
    call = "for item in program(): log('got', item)" if generator else "log(program())"
    source = PRELUDE + "\n".join([*_indent(lines), *(["    yield 0"] if generator else []), call, ""])
    expected = run_code(compile(source, "x.py", "exec"), "x.py")
    for make in RUNTIMES.values():
        vars(builtins).update(make())
        try:
            assert run_code(rewrite(source, "x.py", SiteTable()), "x.py") == expected
        finally:
            for name in NAMES:
                vars(builtins).pop(name, None)
