"""From failures to findings: the smallest input, the reason, the safe range, a patch that was run."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor

from whynan.case.facts import Cause
from whynan.preflight.fuzz.accuracy import Loss
from whynan.preflight.fuzz.border import border
from whynan.preflight.fuzz.cure import Cure, Surgeon
from whynan.preflight.fuzz.edges import faint, subnormal
from whynan.preflight.fuzz.findings import Finding, Repair
from whynan.preflight.fuzz.hunt import Failure, Hunt
from whynan.preflight.fuzz.literal import arguments, comparison, reproducer
from whynan.preflight.fuzz.probe import Outcome, Values
from whynan.preflight.fuzz.shrink import Shrinker

MOST = 12
"""Places that are told; more of one function say nothing new."""
COMPARED = 24
SURGERY = 4.0
"""Seconds of work on patches for one function; each place may take half of what is left."""
ENOUGH = 0.8
"""Share of the compared inputs that a patch may not change, to count as a cure of other failures too."""
TRAINING = frozenset({
    "bad-initialization", "learning-rate-too-high", "exploding-gradients", "optimizer-misuse", "loss-scaling-misuse",
    "uninitialized-memory", "nondeterministic-fault", "bad-input", "input-scale",
})  # fmt: skip
"""Causes that speak of a run: a function that is called once has no learning rate."""


class Teller:
    """Tells all failures of one hunt. A failure that the patch of an earlier one cures is told there."""

    def __init__(self, hunt: Hunt, fixes: bool, progress: Callable[[str, float], None]) -> None:
        self.hunt, self.prober, self.fixes, self.progress = hunt, hunt.prober, fixes, progress
        self.remarks: list[str] = []
        self.surgery = SURGERY
        self.cures: list[tuple[int, Cure]] = []

    def findings(self) -> list[Finding]:
        out: list[Finding] = []
        groups = sorted(self.hunt.failures.values(), key=_prominence)[:MOST]
        for number, kept in enumerate(groups):
            self.progress("looking closer", number / len(groups))
            share = max(0.3, self.hunt.left / (len(groups) - number))
            expression = kept[0].explained.birth.expression or kept[0].explained.birth.op or ""
            told = self._cured_already(kept)
            if told is not None:
                old = out[told]
                out[told] = Finding(**{**vars(old), "also": (*old.also, expression)})
                continue
            seconds = min(2.0, max(0.5, share * 0.2))
            smallest = min((Shrinker(self.prober, f, seconds).run() for f in kept[:2]), key=lambda f: f.size)
            if self._only_subnormal(smallest):
                line = kept[0].explained.birth.line
                self.remarks.append(f"Only subnormal numbers break `{expression}` (line {line})")
                continue
            out.append(self._finding(smallest, kept, len(out), share))
        return out

    def _cured_already(self, kept: list[Failure]) -> int | None:
        for index, found in self.cures:
            if all(found.prober(f.plan, f.values).fine for f in kept):
                return index
        return None

    def _only_subnormal(self, failure: Failure) -> bool:
        """Does the failure need numbers below the smallest normal one? Few networks give those."""
        return any(isinstance(v, Tensor) and v.is_floating_point() and bool(subnormal(v).any())
                   for v in failure.values) and all(
            self.prober(failure.plan, _without_subnormals(failure.values, by)).fine for by in (0.0, 1.0)
        )  # fmt: skip

    def _finding(self, failure: Failure, kept: list[Failure], index: int, share: float) -> Finding:
        birth, explained = failure.explained.birth, failure.explained
        outcome = self.prober(failure.plan, failure.values)
        causes = [c for c in explained.causes if c.class_ not in TRAINING]
        first: Cause | None = causes[0] if causes else None
        found: Cure | None = None
        if self.fixes:
            failing = [(f.plan, f.values) for f in (failure, *kept)]
            begun = time.process_time()
            surgeon = Surgeon(self.prober, failing, self._compared(), min(self.surgery / 2, max(1.0, share * 0.5)))
            found = surgeon.cure(explained)
            self.surgery -= time.process_time() - begun
            if found is not None and found.equal >= ENOUGH * found.compared:
                self.cures.append((index, found))
        edge = border(self.prober, failure)
        return Finding(
            what="value" if outcome.what == "value" else "gradient",
            kind=outcome.kind or birth.kind,
            dtype=_name(self.prober.dtype),
            op=birth.op,
            file=birth.file,
            line=birth.line,
            column=birth.column,
            end_column=birth.end_column,
            expression=birth.expression,
            source=(birth.source or "").strip() or None,
            function=birth.function,
            node=birth.autograd_node,
            gradient_of=tuple(n for n, g in outcome.gradients.items() if not bool(torch.isfinite(g).all())),
            inputs=arguments(failure.plan, failure.values),
            result=_result(outcome),
            cause=first.class_ if first else None,
            cause_name=first.name if first else None,
            level=first.level if first else None,
            why=first.summary if first else None,
            safe=str(edge) if edge is not None else None,
            repair=_repair(found),
            reproducer=reproducer(self.prober.target, failure.plan, failure.values, outcome.what or "value"),
        )

    def _compared(self) -> list:
        """Inputs with a finite value: ordinary ones first, then a spread of the others."""
        fine = [*self.hunt.fine, *self.hunt.valued[: max(0, COMPARED - len(self.hunt.fine))]]
        step = max(1, (len(fine) - 8) // (COMPARED - 8))
        return [*fine[:8], *fine[8::step]][:COMPARED]

    def loss(self, loss: Loss) -> Finding:
        site = loss.site
        place = f"the gradient of {loss.gradient_of}" if loss.gradient_of else "the value"
        return Finding(
            what="accuracy",
            kind="lost",
            dtype=_name(self.prober.dtype),
            op=loss.op,
            file=site.file if site else None,
            line=site.line if site else None,
            column=site.column if site else None,
            end_column=site.end_column if site else None,
            expression=site.expression if site else None,
            source=(site.source or "").strip() if site else None,
            function=site.function if site else None,
            node=None,
            gradient_of=(loss.gradient_of,) if loss.gradient_of else (),
            inputs=arguments(loss.plan, loss.values),
            result=f"{place} is {loss.got:.6g}; in float64 it is {loss.exact:.6g}",
            cause="arithmetic-overflow" if loss.got == 0 and abs(loss.exact) > 1e-3 else None,
            why=(
                f"{place.capitalize()} is off by {loss.relative:.2g} times its size, though a change of the inputs in "
                f"the last digit moves it by {loss.moved:.2g} only: the formula loses the digits, not the problem."
            ),
            reproducer=comparison(self.prober.target, loss.plan, loss.values),
        )  # fmt: skip


def _prominence(kept: list[Failure]) -> tuple:
    """Values before gradients, failures far from subnormal numbers first, then in the order of the source."""
    first = kept[0]
    strange = any(isinstance(v, Tensor) and v.is_floating_point() and bool(faint(v).any()) for v in first.values)
    return first.explained.what != "value", strange, first.explained.birth.line or 0, first.explained.birth.column or 0


def _without_subnormals(values: Values, by: float) -> Values:
    """Subnormal numbers rounded to 0, or up to the smallest normal number of their sign (`by` 1)."""
    out = []
    for v in values:
        if isinstance(v, Tensor) and v.is_floating_point():
            v = torch.where(subnormal(v), torch.sign(v) * torch.finfo(v.dtype).tiny * by, v)
        out.append(v)
    return tuple(out)


def _repair(found: Cure | None) -> Repair | None:
    if found is None:
        return None
    return Repair(class_=found.class_, title=found.title, patch=found.patch, cured=found.failing,
                  equal=found.equal, compared=found.compared)  # fmt: skip


def _result(outcome: Outcome) -> str:
    if outcome.what == "value":
        return f"the value is {_shown(outcome.outputs)}"
    bad = {n: g for n, g in outcome.gradients.items() if not bool(torch.isfinite(g).all())}
    return f"the value is finite, the gradient of {', '.join(bad)} is {_shown(list(bad.values()))}"


def _shown(tensors: list[Tensor]) -> str:
    bad = [t for t in tensors if not bool(torch.isfinite(t).all())]
    flat = bad[0].reshape(-1)
    wrong = flat[~torch.isfinite(flat)]
    words = "nan" if bool(torch.isnan(wrong).any()) else str(wrong[0].item())
    return words if flat.numel() == 1 else f"{words} in {wrong.numel()} of {flat.numel()} elements"


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
