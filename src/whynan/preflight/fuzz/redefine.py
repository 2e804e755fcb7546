"""A function or a layer as another text of its file defines it, without running the rest of that file."""

from __future__ import annotations

import ast
import copy
import inspect
import sys
from collections.abc import Callable
from typing import Any

import torch

from whynan.preflight.fuzz.probe import Prober

KEPT = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)


def redefined(prober: Prober, text: str, path: str) -> Prober | None:
    """A prober of the patched function. None where it cannot be built: inside of another function, or no valid code."""
    target = prober.target
    if target.qualname is None or "<locals>" in target.qualname:
        return None
    owner = type(target.module) if target.module is not None else target.given
    home = sys.modules.get(owner.__module__)
    if home is None:
        return None
    try:
        names = definitions(text, path, vars(home))
        return Prober(target, prober.dtype, gradient=prober.gradient, call=_rebuilt(prober, names))
    except Exception:  # a patch that cannot even be defined is no cure
        return None


def definitions(text: str, path: str, known: dict[str, Any]) -> dict[str, Any]:
    """The names of a module after its functions and classes, as the text has them, were defined again."""
    tree = ast.parse(text.removeprefix("\ufeff"))
    tree.body = [node for node in tree.body if isinstance(node, KEPT)]
    names = dict(known)
    exec(compile(tree, path, "exec"), names)
    return names


def _rebuilt(prober: Prober, names: dict[str, Any]) -> tuple[Callable[..., Any], torch.nn.Module | None]:
    if prober.target.module is None:
        found: Any = None
        for i, name in enumerate((prober.target.qualname or "").split(".")):
            found = names[name] if i == 0 else getattr(found, name)
        if not inspect.isroutine(found):
            raise TypeError(prober.target.qualname)
        return found, None
    module = copy.deepcopy(prober.module)
    assert module is not None
    for part in module.modules():
        new = names.get(type(part).__qualname__)
        if isinstance(new, type) and type(part).__module__ == new.__module__:
            part.__class__ = new
    return module, module
