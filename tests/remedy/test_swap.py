"""A patch put into the running program: exactly the patched code runs, and everything is as before afterwards."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from whynan.remedy.candidate import Candidate
from whynan.remedy.edits import Edit
from whynan.remedy.source import Source
from whynan.remedy.swap import Exchange, exchange
from whynan.watch import inert
from whynan.watch.source import SiteTable

TEXT = '''import math


class Model:
    """A model."""

    def __call__(self, x):
        """Its value."""
        return math.sqrt(x)

    def again(self, x):
        return math.sqrt(x)


def make(offset):
    def inner(x):
        total = 0.0
        for part in (x, x):
            total += math.sqrt(part) + offset
        return total

    return inner


def log(x): return math.log(x)


class Other:
    def __call__(self, x):
        return math.sqrt(x)


LAST = math.sqrt(4.0)
'''


@pytest.fixture
def program(tmp_path):
    """The module as a live program, and its source."""
    path = tmp_path / "swapped_program.py"
    path.write_text(TEXT)
    spec = importlib.util.spec_from_file_location("swapped_program", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["swapped_program"] = module
    spec.loader.exec_module(module)
    inert.install()
    yield module, Source.read(path)
    del sys.modules["swapped_program"]


def changed(source: Source, number: int, text: str, *more: Edit) -> Candidate:
    """The `number`-th call of math.sqrt or math.log, with `text` as its argument."""
    call = [c for c in source.calls if (source.dotted(c.func) or "").startswith("math.")][number]
    return Candidate("clamp", "a change", source, (source.replace(call.args[0], text), *more))


def exchanged(candidate: Candidate) -> Exchange | None:
    return exchange(candidate, None, SiteTable())


def test_only_the_patched_function_changes_and_only_for_a_while(program):
    module, source = program
    model, other, code = module.Model(), module.Other(), module.Model.__call__.__code__
    swap = exchanged(changed(source, 0, "max(x, 0.0)"))
    swap.install()
    assert model(-1.0) == 0.0 and swap.ran == 1
    for untouched in (model.again, other):
        with pytest.raises(ValueError):
            untouched(-1.0)
    assert model.__call__.__func__.__doc__ == "Its value."
    swap.remove()
    assert module.Model.__call__.__code__ is code and "__whynan_ran__" not in dir(__import__("builtins"))
    with pytest.raises(ValueError):
        model(-1.0)


def test_a_closure_that_exists_and_one_that_is_made_later(program):
    module, source = program
    known = module.make(1.0)
    swap = exchanged(changed(source, 2, "max(part, 0.0)"))
    swap.install()
    assert known(-4.0) == 2.0 and module.make(2.0)(-4.0) == 4.0 and swap.ran == 2
    swap.remove()
    with pytest.raises(ValueError):
        known(-4.0)


def test_names_of_new_imports_are_bound_for_the_time(program):
    module, source = program
    line = source.insert_before(source.tree.body[0], "import fractions")
    swap = exchanged(changed(source, 1, "fractions.Fraction(4)", line))
    swap.install()
    assert module.Model().again(-1.0) == 2.0
    swap.remove()
    assert not hasattr(module, "fractions")


def test_what_cannot_be_exchanged(program):
    module, source = program
    assert exchanged(changed(source, 3, "max(x, 1.0)")) is None, "the body shares the line of its def"
    assert exchanged(changed(source, 5, "9.0")) is None, "not inside of a function"
    captured = changed(source, 0, "max(x, 0.0)")
    assert exchange(captured, sys._getframe(), SiteTable()) is not None

    def running():
        return sys._getframe()

    frame = running()
    here = Source(Path(__file__).read_text(), __file__)
    call = next(c for c in here.calls if here.segment(c) == "sys._getframe()" and here.function(c).name == "running")
    edits = (here.replace(call, "sys._getframe(0)"),)
    assert exchange(Candidate("clamp", "a change", here, edits), None, SiteTable()) is not None
    assert exchange(Candidate("clamp", "a change", here, edits), frame, SiteTable()) is None, "it is executing"


def test_a_function_that_was_not_executed_is_known(program):
    module, source = program
    swap = exchanged(changed(source, 0, "max(x, 0.0)"))
    swap.install()
    module.Model().again(4.0)
    swap.remove()
    assert swap.ran == 0
