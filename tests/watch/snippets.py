"""Little programs whose loops must behave the same after rewriting: those in loops/, and some that need a program.

No test library is imported here, so that another interpreter can run them too: `python tests/watch/snippets.py`.
In loops/*.txt a line `#### NAME` begins a snippet; `untouched` after the name: no loop of it is rewritten. A snippet
gets `log`, which keeps the repr of its arguments.
"""

from __future__ import annotations

import builtins
import gc
import linecache
import os
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType
from typing import Any

from whynan.watch import inert
from whynan.watch.source import FOR, NAMES, WHILE, SiteTable, rewrite

SNIPPETS: dict[str, str] = {
    "tabs_and_form_feed": "for i in range(2):\n\tlog(i)\n\x0c\tlog('ff')\n",
    "too_deep": "".join("    " * n + f"for i{n} in range(1):\n" for n in range(12)) + "    " * 12 + "log(1)\n",
    "elif_chain": "x = 150\nfor i in range(1):\n    if x == 0: pass\n"
    + "".join(f"    elif x == {k}: log({k})\n" for k in range(1, 200)),
}
UNTOUCHED = {"too_deep"}  # no loop is rewritten

for _path in sorted(Path(__file__).parent.glob("loops/*.txt")):
    for _part in _path.read_text(encoding="utf-8").split("#### ")[1:]:
        _title, _code = _part.split("\n", 1)
        _name, *_marks = _title.split()
        SNIPPETS[_name] = _code
        if "untouched" in _marks:
            UNTOUCHED.add(_name)

Runtime = Callable[[], dict[str, Callable[..., Any]]]


def driving() -> dict[str, Callable[..., Any]]:
    """A run time that draws every item through a generator of its own, as the watching one does."""
    done: set[tuple[int, int]] = set()

    def for_(iterable: Any, site: int) -> Iterator[Any]:
        iterator = iter(iterable)

        def drive() -> Iterator[Any]:
            while True:
                try:
                    item = next(iterator)
                except StopIteration:
                    return
                yield item

        return drive()

    def while_(site: int) -> Iterator[tuple[()]]:
        key = (id(sys._getframe(1)), site)
        done.discard(key)
        while key not in done:
            yield ()

    def finished(site: int) -> None:
        done.add((id(sys._getframe(1)), site))

    return dict(zip(NAMES, (for_, while_, finished, lambda site: False, next, lambda *sites: None)))


def run_code(code: Any, file: str) -> dict[str, Any]:
    """What a snippet did: what it logged, how it ended, which names it left."""
    lines: list[str] = []
    space: dict[str, Any] = {"__name__": "snippet", "__builtins__": builtins, "__file__": file}
    space["log"] = lambda *args: lines.append(" ".join(map(repr, args)))
    ending = ""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        try:
            exec(code, space)
        except BaseException as error:
            ending = _formatted(error, file)
    said = [(w.category.__name__, str(w.message), w.filename, w.lineno) for w in seen]
    values = {k: repr(v) for k, v in space.items() if isinstance(v, int | str | list | tuple | dict) and k[0] != "_"}
    values = {k: v for k, v in values.items() if " at 0x" not in v}
    names = list(space)
    space.clear()
    gc.collect()  # suspended generators are closed now, while the run time is there
    return {"log": lines, "ending": ending, "warnings": said, "names": names, "values": values}


def _formatted(error: BaseException, file: str) -> str:
    """The traceback as python prints it, with the frames of `file` only."""
    one: BaseException | None = error
    while one is not None:
        entries = []
        entry = one.__traceback__
        while entry is not None:
            if entry.tb_frame.f_code.co_filename == file:
                entries.append(entry)
            entry = entry.tb_next
        for entry, following in zip(entries, [*entries[1:], None]):
            entry.tb_next = following
        one.__traceback__ = entries[0] if entries else None
        one = one.__cause__ or one.__context__
    return "".join(traceback.format_exception(error))


def compiled(make: Callable[[], Any]) -> tuple[Any, list[tuple[str, str, int]]]:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        code = make()
    return code, [(w.category.__name__, str(w.message), w.lineno) for w in seen]


def names_used(code: CodeType) -> set[str]:
    """The names of the run time that the code, or code inside it, calls."""
    inner = [names_used(constant) for constant in code.co_consts if isinstance(constant, CodeType)]
    return {name for name in code.co_names if name in NAMES}.union(*inner)


def both(name: str, runtime: Runtime, folder: str) -> tuple[dict[str, Any], dict[str, Any], bool]:
    """What the snippet does as written and rewritten, and whether a loop was rewritten at all."""
    source, file = SNIPPETS[name], os.path.join(folder, name + ".py")
    with open(file, "w", encoding="utf-8", newline="") as stream:
        stream.write(source)
    linecache.checkcache(file)
    plain, warned = compiled(lambda: compile(source, file, "exec", dont_inherit=True))
    expected = run_code(plain, file) | {"compile": warned}
    code, warned = compiled(lambda: rewrite(source, file, SiteTable()))
    before = {key: vars(builtins).get(key) for key in NAMES}
    vars(builtins).update(runtime())
    try:
        return expected, run_code(code, file) | {"compile": warned}, bool(names_used(code) & {FOR, WHILE})
    finally:
        for key, value in before.items():
            if value is None:
                vars(builtins).pop(key, None)
            else:
                vars(builtins)[key] = value


RUNTIMES: dict[str, Runtime] = {"inert": inert.inert_names, "driving": driving}


def main() -> int:
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        for name in SNIPPETS:
            for which, runtime in RUNTIMES.items():
                expected, found, rewritten = both(name, runtime, folder)
                if expected != found or rewritten == (name in UNTOUCHED):
                    wrong += 1
                    print(name, which, rewritten, expected, found, sep="\n    ")
    print(f"{sys.version.split()[0]}: {len(SNIPPETS)} snippets, {wrong} differences")
    return min(wrong, 1)


if __name__ == "__main__":
    sys.exit(main())
