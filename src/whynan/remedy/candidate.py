"""A change that may cure: edits of one file, the class it belongs to, and how far it may be trusted before it was
tried."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from whynan.remedy.edits import Edit, apply_edits, changed_lines, unified_diff
from whynan.remedy.source import Source

Safety = Literal["safe", "unsafe", "display-only"]
MOST_LINES = 12
"""A patch with more changed lines than this is a rewrite, not a remedy; score.py counts the same way."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """One change. `order` sorts the candidates of one kind (0 = most to the point).

    `live` names the experiments that do in the running loop exactly what the patch does in the source. `popular` marks
    what people try first whatever the cause (clip, lr/10, float64): tried last, to say whether it helps.
    """

    class_: str
    title: str
    source: Source
    edits: tuple[Edit, ...]
    safety: Safety = "unsafe"
    order: float = 0.0
    popular: bool = False
    live: tuple[str, ...] = ()

    @cached_property
    def after(self) -> str:
        return apply_edits(self.source.text, self.edits)

    @cached_property
    def patch(self) -> str:
        return unified_diff(self.source.text, self.after, self.source.rel)

    @cached_property
    def changed(self) -> int:
        return changed_lines(self.patch)

    @cached_property
    def sound(self) -> bool:
        """The edits fit, still parse, change something, and little of it."""
        try:
            compile(self.after.removeprefix("\ufeff"), str(self.source.path), "exec", dont_inherit=True)
        except (SyntaxError, ValueError):
            return False
        return 0 < self.changed <= MOST_LINES
