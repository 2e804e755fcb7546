"""Two backward passes through one graph

What it does
------------
Finds `loss.backward()` twice for the same loss in one block without `retain_graph=True` the first time.

Why
---
The first pass frees the graph: the second raises "Trying to backward through the graph a second time", and where it
does not, the gradients are counted twice.

Bad
---
    import torch

    def train(model, optimizer, loader, loss_fn):
        for x, y in loader:
            optimizer.zero_grad()
            loss = loss_fn(model(x), y)
            loss.backward()
            loss.backward()
            optimizer.step()

Good
----
    import torch

    def train(model, optimizer, loader, loss_fn):
        for x, y in loader:
            optimizer.zero_grad()
            loss = loss_fn(model(x), y)
            loss.backward()
            optimizer.step()

When it is safe
---------------
With `retain_graph=True`, where gradients are meant to be counted twice.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from whynan.lint.file import File
from whynan.lint.loops import Event, blocks
from whynan.lint.rule import Hit
from whynan.remedy import flow

CODE = "WN604"
NAME = "backward-twice"
CAUSES = ("other",)
REMEDIES = ("other",)


def check(file: File) -> Iterator[Hit]:
    for block in blocks(file):
        done: dict[str, Event] = {}
        for event in block.events:
            if event.kind != "backward" or not _plain(event.node):
                continue
            first = done.get(event.what)
            if first is not None and not _again(file, event.what, first.node, event.node):
                yield Hit(
                    event.node, f"`{event.what}` was differentiated in line {first.node.lineno} and its graph freed."
                )
            if not any(k.arg in ("retain_graph", "create_graph", None) for k in event.node.keywords):
                done[event.what] = event


def _plain(call: ast.Call) -> bool:
    """loss.backward() of a variable, with nothing that would be differentiated instead of it."""
    return isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name) and not call.args


def _again(file: File, name: str, first: ast.AST, second: ast.AST) -> bool:
    """Whether the variable was assigned in between, anywhere in the function."""
    bound = flow.bindings(file, file.scope(second), name)
    return any(flow.position(first) < flow.position(s) < flow.position(second) for s, _ in bound)
