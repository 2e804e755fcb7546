"""torch.compile traces rewritten loops into one graph."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import pytest

from whynan.watch.source import NAMES, SiteTable, rewrite
from whynan.watch.tracing import _running, compiling, traced_done, traced_leave, traced_while

SOURCE = """\
import torch
def program(x, n, layers):
    i = 0
    while i < n:
        i += 1
        j = 0
        while True:
            j += 1
            x = torch.sin(x)
            if j > i: break
        for layer in layers:
            x = layer(x)
            if n == 6: break
        else:
            x = x + next(iter([1, 2]))
        if n == 7:
            return torch.exp(x)
    else:
        x = torch.cos(x)
    return x
"""


class Unseen(Exception):
    """The run time that would look at frames was called."""


def unless_compiling(otherwise: Any) -> Any:
    def function(*args: Any) -> Any:
        if compiling():
            return otherwise(*args)
        raise Unseen

    return function


@pytest.mark.parametrize("n", [0, 2, 6, 7])
def test_rewritten_code_is_traced_without_a_graph_break(
    n: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    functions = (lambda iterable, site: iterable, traced_while, traced_done, lambda site: False, next, traced_leave)
    for name, function in zip(NAMES, functions, strict=True):
        monkeypatch.setattr(builtins, name, unless_compiling(function), raising=False)
    programs = []
    for code in (compile(SOURCE, "x.py", "exec"), rewrite(SOURCE, "x.py", SiteTable())):
        space: dict[str, Any] = {"__name__": "x"}
        exec(code, space)
        programs.append(space["program"])
    torch._dynamo.reset()
    layers = [torch.tanh, torch.sigmoid]
    expected = programs[0](torch.ones(3), n, layers)
    found = torch.compile(programs[1], backend="eager", fullgraph=True)(torch.ones(3), n, layers)
    assert torch.equal(expected, found)
    assert not _running
    with pytest.raises(Unseen):
        programs[1](torch.ones(3), 2, layers)
