"""Losses of the library, called on something that they do not take."""

from __future__ import annotations

from collections.abc import Iterator

from whynan.lint.file import File
from whynan.lint.meaning import through
from whynan.lint.parts import TENSORS
from whynan.remedy.form import Form


def losses_of(file: File, loss: str, *given: str) -> Iterator[Form]:
    """Calls of a loss, as a function or a module, whose first argument is what one of the functions `given` gives."""
    for f in file.forms(loss):
        first = f.arg(0, "input") if f.lib in ("torch", "module") else None
        inner = through(file, first) if first is not None else None
        if inner is not None and inner.op in given and inner.lib in TENSORS:
            yield f
