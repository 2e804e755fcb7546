"""From a frame to the expression it was evaluating."""

from __future__ import annotations

import linecache
import sys

import pytest

from whynan.case.facts import Site
from whynan.tensors.expression import call_text, site_of, text_between


class Probe:
    """Notes where it was used."""

    def __init__(self):
        self.sites = []

    def _note(self, *_):
        frame = sys._getframe(1)
        self.sites.append(site_of(frame.f_code, frame.f_lasti))
        return self

    def __getattr__(self, name):
        return self._call

    def _call(self, *args, **kwargs):
        frame = sys._getframe(1)
        self.sites.append(site_of(frame.f_code, frame.f_lasti))
        return self

    def _operator(self, *_):
        frame = sys._getframe(1)
        self.sites.append(site_of(frame.f_code, frame.f_lasti))
        return self

    __add__ = __sub__ = __mul__ = __truediv__ = __itruediv__ = __neg__ = __getitem__ = _operator


EXPRESSIONS = [
    ("x.log()", ["x.log()"]),
    ("(a - b).sqrt()", ["a - b", "(a - b).sqrt()"]),
    ("x / y.std()", ["y.std()", "x / y.std()"]),
    ("-x[0] * y", ["x[0]", "-x[0]", "-x[0] * y"]),
    ("x.where(\n    y,\n    x / y,\n)", ["x / y", "x.where( y, x / y, )"]),
    ("x.été(y)  # comment", ["x.été(y)"]),
]


@pytest.mark.parametrize("source, expected", EXPRESSIONS)
def test_expression(tmp_path, source, expected):
    file = tmp_path / "user.py"
    file.write_text(source + "\n")
    probe = Probe()
    exec(compile(file.read_text(), str(file), "exec"), dict.fromkeys("xyab", probe))
    assert [s.expression for s in probe.sites] == expected
    assert all(s.file == str(file) and s.function == "<module>" for s in probe.sites)


def test_statement_that_changes_in_place(tmp_path):
    file = tmp_path / "user.py"
    file.write_text("def f(z):\n    z /= z.std()\n")
    probe, names = Probe(), {}
    exec(compile(file.read_text(), str(file), "exec"), names)
    names["f"](probe)
    assert [(s.line, s.expression) for s in probe.sites] == [(2, "z.std()"), (2, "z /= z.std()")]
    assert probe.sites[1].source == "    z /= z.std()" and probe.sites[1].column == 4


def test_without_source_there_is_still_a_line():
    code = compile("x = 1\ny = 2", "<gone>", "exec")
    site = site_of(code, 0)
    assert (site.file, site.source, site.expression) == ("<gone>", None, None) and site.line >= 0
    assert site_of(code, -1).line == code.co_firstlineno


def test_text_between_needs_both_ends():
    assert text_between(__file__, 1, None, 0, 3) is None
    assert text_between(__file__, 1, 1, 3, 7) == linecache.getline(__file__, 1)[3:7].strip()


@pytest.mark.parametrize(
    "expression, api",
    [
        ("torch.log(p + 1)", "torch.log"),
        ("F.softmax(s / t, dim=-1)", "F.softmax"),
        ("x.log()", "x.log()"),
        ("(a - b).sqrt()", "(a - b).sqrt()"),
        ("self.out(F.relu(h))", "self.out()"),
        ("a / b", "a / b"),
        ("z /= b.std()", "z /= b.std()"),
        ("attention(q, k, v)[0]", "attention(q, k, v)[0]"),
        ("not python at all (", "not python at all ("),
        (None, None),
    ],
)
def test_the_call_as_its_author_wrote_it(expression, api):
    assert call_text(Site(file="<none>", line=1, expression=expression)) == api


def test_imported_modules_are_known_by_their_names(tmp_path):
    file = tmp_path / "user.py"
    file.write_text("from torch import special as sp\n")
    assert call_text(Site(file=str(file), line=1, expression="sp.entr(p)")) == "sp.entr"
