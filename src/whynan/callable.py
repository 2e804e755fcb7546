"""Rooms that are called: `whynan.watch(loader)` and `whynan.guard(optimizer)`.

A package's attribute of the name of a room is the room, as soon as anything imports from it. So the room itself is made
callable (https://docs.python.org/3/reference/datamodel.html#customizing-module-attribute-access).
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class CallableRoom(ModuleType):
    """A module whose call is that of the function of its name in `whynan.library`."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return getattr(import_module("whynan.library"), self.__name__.rpartition(".")[2])(*arguments, **options)


def make_callable(module: str) -> None:
    """Make the module of this dotted name callable."""
    sys.modules[module].__class__ = CallableRoom
