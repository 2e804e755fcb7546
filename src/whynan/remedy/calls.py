"""Edits of one call: set an option, find the place after its last argument."""

from __future__ import annotations

import ast

from whynan.remedy import wraps
from whynan.remedy.edits import Edit
from whynan.remedy.source import Source


def set_option(source: Source, call: ast.Call, name: str, value: str) -> Edit:
    """f(x) -> f(x, name=value); an option that is there already gets the new value."""
    for keyword in call.keywords:
        if keyword.arg == name:
            return source.replace(keyword.value, value)
    return append(source, call, f"{name}={value}")


def append(source: Source, call: ast.Call, text: str) -> Edit:
    """Put one more argument at the end of a call, in front of a trailing comma."""
    given: list[ast.expr] = [*call.args, *[k.value for k in call.keywords]]
    if not given:
        end = source.span(call)[1] - 1
        return Edit(end, end, text)
    last = max(given, key=lambda n: source.span(n)[1])
    end = wraps.outer_span(source, last)[1]
    return Edit(end, end, f", {text}")


def without_option(source: Source, call: ast.Call, name: str) -> str:
    """The arguments of a call as text, one option left out."""
    parts = [source.segment(a) for a in call.args]
    parts += [
        f"{k.arg}={source.segment(k.value)}" if k.arg else f"**{source.segment(k.value)}"
        for k in call.keywords
        if k.arg != name
    ]
    return ", ".join(parts)
