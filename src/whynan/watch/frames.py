"""Reading and writing the local variables of a running frame.

Up to Python 3.12 `f_locals` of a function is a copy that has to be written back with `PyFrame_LocalsToFast`; from 3.13
(PEP 667) it is a write-through proxy that cannot delete. At module level it is the globals dictionary itself.
"""

from __future__ import annotations

import ctypes
import sys
from types import FrameType
from typing import Any


def read_locals(frame: FrameType) -> dict[str, Any]:
    """A shallow copy of the frame's local variables (at module level: of its globals)."""
    return dict(frame.f_locals)


def write_locals(frame: FrameType, saved: dict[str, Any]) -> None:
    """Make the frame's local variables what `read_locals` returned: rebind, and unbind what is new."""
    current = frame.f_locals
    if current is frame.f_globals:
        write_globals(current, saved)
    elif sys.version_info >= (3, 13):
        for name, value in saved.items():
            current[name] = value
    else:
        for name in [name for name in current if name not in saved]:
            del current[name]
        current.update(saved)
        ctypes.pythonapi.PyFrame_LocalsToFast(ctypes.py_object(frame), ctypes.c_int(1))


def write_globals(namespace: dict[str, Any], saved: dict[str, Any]) -> None:
    """Rebind and unbind a module's global names, never emptying it: a destructor could look something up meanwhile.

    Names with two leading underscores are left alone: `torch.compile` keeps its own things there.
    """
    for name in [name for name in namespace if name not in saved and not name.startswith("__")]:
        del namespace[name]
    for name, value in saved.items():
        if not name.startswith("__") and namespace.get(name, saved) is not value:
            namespace[name] = value


def callers(frame: FrameType | None) -> list[FrameType]:
    """The frame and those that called it, innermost first."""
    found = []
    while frame is not None:
        found.append(frame)
        frame = frame.f_back
    return found
