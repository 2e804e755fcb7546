"""Rewriting rules, one file a family; `load` registers them all."""

from __future__ import annotations


def load() -> None:
    """Import the families, in the order in which their rules are tried."""
    from whynan.remedy.rules import logarithms, losses, quotients, roots  # noqa: F401
