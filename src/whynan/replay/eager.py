"""Compiled code runs eagerly inside: a dispatch mode would otherwise make dynamo give the frame up for good."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def eager() -> Iterator[None]:
    """`force_eager` if anything can have been compiled; importing dynamo just for this would take a second."""
    if "torch._dynamo" in sys.modules:
        with torch.compiler.set_stance("force_eager"):
            yield
    else:
        yield
