"""Where in the source an input goes wrong, and why: the microscope and the causes of `whynan run`, on one call."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from whynan.case.facts import Birth, Cause
from whynan.diagnose import Inquest, assess_only
from whynan.preflight.fuzz.plans import Plan
from whynan.preflight.fuzz.probe import Outcome, Prober, Values
from whynan.replay.births import Finding as Found
from whynan.replay.births import birth_from
from whynan.replay.scope import Scope
from whynan.replay.trace import OpRecord, Trace
from whynan.watch.userfiles import is_user_file

Key = tuple[str | None, int | None, int | None, str | None]


@dataclass
class Explained:
    """The birth of a failure, with what is needed to ask further."""

    birth: Birth
    record: OpRecord
    found: Found
    trace: Trace
    what: str
    _causes: tuple[Cause, ...] | None = field(default=None, repr=False)

    @property
    def key(self) -> Key:
        """The place in the source. Failures of one expression are one finding."""
        b = self.birth
        return (b.file, b.line, b.column, b.expression if b.file else b.op)

    @property
    def causes(self) -> tuple[Cause, ...]:
        if self._causes is None:
            inquest = Inquest(birth=self.birth, finding=self.found, trace=self.trace, reproduced="bitwise")
            self._causes = assess_only(inquest).causes
        return self._causes


def explain(prober: Prober, plan: Plan, values: Values, files: tuple[str, ...] = ()) -> Explained | None:
    """Call once more under the microscope. None when nothing was born: an infinity that the function put there by
    name (a mask), or one that is not there this time."""
    own = (*files, prober.target.file)
    # a fresh scope; gradients are asked for as the search does, so that forward and backward are both seen
    with Scope(is_user_file=lambda f: is_user_file(f) or f in own, keep_bytes=64 << 20) as scope:
        outcome = _again(prober, plan, values)
    if not outcome.bad:
        return None
    found = scope.trace.births_reaching(outcome.symptoms())
    if found is None or found.birth is None or found.state != "born":
        return None
    birth = birth_from(found, scope.trace, 0, None)
    if birth is None or outcome.what is None:
        return None
    return Explained(birth, found.birth, found, scope.trace, outcome.what)


def _again(prober: Prober, plan: Plan, values: Values) -> Outcome:
    """As Prober.__call__, but the tensors of the call itself are kept, for the trace knows those."""
    arguments, leaves = prober.leaves(plan, values)
    try:
        outputs = prober.forward(plan, arguments)
    except Exception as error:
        return Outcome(error=error)
    outcome = Outcome(outputs=outputs)
    if any(not bool(torch.isfinite(t).all()) for t in outputs):
        outcome.what, outcome.kind = "value", "bad"
        return outcome
    prober.backward(outcome, outputs, leaves)
    return outcome
