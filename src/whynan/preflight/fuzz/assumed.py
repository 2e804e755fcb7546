"""What a guard in the source takes for granted: `a / (b + 1e-8)` is safe for b >= 0, and that is what its author meant.

Where nobody has stated a range, an input that leaves what a guard assumes is no finding, but a remark. A guard is a
positive constant added in front of the op that fails. Its author assumes that the sum stays positive if ordinary inputs
make it negative without any harm being done (a Dice score of logits); a sum that is negative only by rounding, or that
reaches zero where ordinary inputs never make it negative (1 + cos), is a finding.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from whynan.preflight.fuzz.explain import Explained, Key
from whynan.preflight.fuzz.fills import typical, uniform
from whynan.preflight.fuzz.plans import Plan
from whynan.preflight.fuzz.probe import Prober
from whynan.replay.scope import Scope
from whynan.replay.trace import OpRecord, TensorRef, Trace
from whynan.watch.userfiles import is_user_file

THROUGH = ("view", "expand", "unsqueeze", "squeeze", "_to_copy", "reshape", "_unsafe_view", "clone", "t", "transpose")
TRIES = 8


@dataclass(frozen=True)
class Assumption:
    place: str
    words: str


@dataclass(frozen=True)
class _Guard:
    record: OpRecord
    constant: float
    lowest: float  # of the sum


class Assumptions:
    """Answers for one function; what ordinary inputs do at a guard is found out once."""

    def __init__(self, prober: Prober) -> None:
        self.prober = prober
        self.known: dict[tuple[Key, int], bool] = {}

    def broken(self, plan: Plan, explained: Explained) -> Assumption | None:
        """The assumption that the failing input leaves; None when there is none, or all ranges were stated."""
        if all(s.stated for s in plan.floats):
            return None
        for guard in _guards(explained.trace, explained.record):
            if guard.lowest > 0 or guard.record.site is None:
                continue
            site = guard.record.site
            key = (explained.key, site.column or 0)
            if key not in self.known:
                self.known[key] = self._negative(plan, site.line, site.column)
            if self.known[key]:
                text = site.expression or site.source
                return Assumption(f"{site.file}:{site.line}", f"`{text}` is taken to be positive")
        return None

    def _negative(self, plan: Plan, line: int, column: int | None) -> bool:
        """Do ordinary inputs make the sum negative while the function stays finite?"""
        generator = torch.Generator().manual_seed(3)
        own = self.prober.target.file
        for number in range(TRIES):
            draw = uniform if number % 2 else typical
            values = tuple(draw(s, plan, self.prober.dtype, generator) for s in plan.slots)
            with Scope(is_user_file=lambda f: is_user_file(f) or f == own, keep_bytes=16 << 20) as scope:
                outcome = self.prober(plan, values)
            if outcome.error is not None or outcome.what == "value":
                continue
            for record in scope.trace.records:
                if record.phase == "backward" or _constant(record) is None:
                    continue
                site = record.site
                if site is not None and (site.line, site.column) == (line, column) and _lowest(record) < 0:
                    return True
        return False


def _guards(trace: Trace, record: OpRecord) -> list[_Guard]:
    """Sums with a positive constant that the failing op (or the forward op of the failing derivative) reads."""
    found = []
    for ref in record.origin.inputs:
        made = _made(trace, ref)
        if made is not None and (constant := _constant(made)) is not None:
            found.append(_Guard(made, constant, _lowest(made)))
    return found


def _made(trace: Trace, ref: TensorRef, depth: int = 6) -> OpRecord | None:
    """The op that made an operand, seen through views, roots of it, and powers."""
    made = trace.producer(ref)
    while made is not None and depth and made.inputs and made.plan.base in (*THROUGH, "sqrt", "log", "mul", "pow"):
        if made.plan.base == "mul" and len(made.inputs) > 1:
            return None
        made, depth = trace.producer(made.inputs[0]), depth - 1
    return made


def _constant(record: OpRecord) -> float | None:
    """c of an addition x + c with a positive number c, else None."""
    if record.plan.base not in ("add", "add_", "rsub"):
        return None
    numbers = [a for a in record.args if isinstance(a, (int, float)) and not isinstance(a, bool)]
    if record.plan.base == "rsub" or not numbers or numbers[0] <= 0:
        return None
    return float(numbers[0])


def _lowest(record: OpRecord) -> float:
    lows = [ref.min for ref in record.outputs if ref.min is not None]
    return min(lows, default=1.0)
