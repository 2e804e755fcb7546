"""torch.autocast, noticed and on request switched off. Only while a guard may have to."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import torch


class Autocast:
    """`used`: the program entered an enabled autocast since `install`."""

    used = False
    _off = False
    _installed = False

    @classmethod
    def install(cls) -> None:
        if cls._installed:
            return
        cls._installed = True
        kind: Any = torch.autocast
        original = kind.__enter__

        @functools.wraps(original)
        def enter(self: Any) -> Any:
            if torch.compiler.is_compiling() or not self._enabled:
                return original(self)
            cls.used = True
            if not cls._off:
                return original(self)
            self._enabled = False
            try:
                return original(self)
            finally:
                self._enabled = True  # programs keep one autocast object and enter it again and again

        kind.__enter__ = enter

    @classmethod
    @contextlib.contextmanager
    def off(cls) -> Iterator[None]:
        """`with torch.autocast(...)` does nothing inside."""
        cls._off = True
        try:
            yield
        finally:
            cls._off = False
