"""A figure of the report must never cost the report: one guard for all of them, the error noted in words."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
U = TypeVar("U")


def figure(notes: list[str], what: str, make: Callable[[], T], otherwise: U) -> T | U:
    """What `make` gives; `otherwise`, and a sentence in `notes`, if it raises."""
    try:
        return make()
    except Exception as error:
        notes.append(f"the {what} could not be made ({type(error).__name__}: {error})")
        return otherwise
