"""`whynan.fuzz`: search one function, then shrink, explain and mend what was found."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from whynan.errors import UsageError
from whynan.preflight.fuzz.accuracy import Accuracy
from whynan.preflight.fuzz.findings import Finding, FuzzReport
from whynan.preflight.fuzz.hunt import Hunt
from whynan.preflight.fuzz.infer import infer, likely
from whynan.preflight.fuzz.inputs import Input
from whynan.preflight.fuzz.plans import Plan
from whynan.preflight.fuzz.probe import Prober, quiet
from whynan.preflight.fuzz.target import Target, load, resolve
from whynan.preflight.fuzz.tell import Teller
from whynan.preflight.fuzz.workers import Workers, units

SECONDS = 20.0
SHARE = 0.6
"""Part of the time that the search may take; the rest is for shrinking, explaining and patches."""
DTYPES = ("float32", "float64", "float16", "bfloat16")
Progress = Callable[[str, float], None]


def fuzz(
    function: Any,
    *,
    inputs: Mapping[str, Any] | None = None,
    range: tuple[float, float] | None = None,
    dtype: str | torch.dtype | Iterable[str | torch.dtype] = "float32",
    seed: int = 0,
    seconds: float = SECONDS,
    jobs: int = 1,
    gradient: bool = True,
    accuracy: bool = True,
    fixes: bool = True,
    example: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> FuzzReport:
    """Search finite inputs for which a loss or a layer gives a non-finite value or gradient, or one without accuracy.

    `function` is a function of tensors, an nn.Module, its class, a function that makes one, or its name as
    "MODULE:CALLABLE". `inputs` says what arguments may be (`Input`, its text such as "float32[2,3] in [-10,10]", or a
    constant); what is not said is found out by trying. `range` bounds every floating argument. `seconds` bounds the
    whole; with the same seed the same inputs are tried in the same order. `jobs` greater than 1 needs a function that
    was given by name. Raises UsageError when the function cannot be called or an option cannot be meant.
    """
    target = load(function) if isinstance(function, str) else resolve(function)
    specs = {name: _spec(name, value) for name, value in (inputs or {}).items()}
    if range is not None and not (len(range) == 2 and range[0] <= range[1]):
        raise UsageError(f"range {range!r} is none: it has to be two numbers, the smaller first.")
    if not seconds > 0:
        raise UsageError(f"{seconds:g} seconds are no time to search in.")
    search = _Search(target, specs, range, dict(example or {}), seed, jobs, gradient, accuracy, fixes, progress)
    dtypes = _dtypes(dtype)
    begun = time.monotonic()
    reports = []
    for number, one in enumerate(dtypes):
        left = seconds - (time.monotonic() - begun)
        reports.append(search.run(one, max(0.5, left / (len(dtypes) - number))))
    return _merged(target.name, reports, seed, time.monotonic() - begun)


class _Search:
    """The options of one call, and the search in one dtype."""

    def __init__(
        self, target: Target, specs: dict[str, Input], span: tuple[float, float] | None, example: dict[str, Any],
        seed: int, jobs: int, gradient: bool, accuracy: bool, fixes: bool, progress: Progress | None,
    ) -> None:  # fmt: skip
        self.target, self.specs, self.span, self.example = target, specs, span, example
        self.seed, self.jobs, self.gradient, self.accuracy, self.fixes = seed, jobs, gradient, accuracy, fixes
        self.progress = progress or (lambda words, part: None)

    def run(self, dtype: torch.dtype, seconds: float) -> FuzzReport:
        begun = time.monotonic()
        with quiet():
            prober = Prober(self.target, dtype, gradient=self.gradient)
            plans = infer(self.target, prober, self.specs, self.span, self.example)
            hunt = Hunt(prober, begun + SHARE * seconds)
            if self.example:
                hunt.look(plans[0], tuple(self.example[s.name] for s in plans[0].slots))
            remarks = self._hunt(hunt, plans, begun, seconds)
            hunt.deadline = begun + seconds
            lost = self._inaccurate(prober, hunt) if self.accuracy and dtype is not torch.float64 else []
            teller = Teller(hunt, self.fixes, self.progress)
            findings = (*teller.findings(), *(teller.loss(one) for one in lost))
        remarks += [*teller.remarks, *_remarks(hunt), *_domains(plans)]
        return FuzzReport(
            name=self.target.name,
            findings=findings,
            searched=tuple(p.describe() for p in plans),
            remarks=tuple(remarks),
            calls=prober.calls,
            seconds=time.monotonic() - begun,
            seed=self.seed,
            dtypes=(str(dtype).removeprefix("torch."),),
            complete=not any(r.startswith("The time was up") for r in remarks),
            refused=dict(hunt.refused.most_common(5)),
        )

    def _hunt(self, hunt: Hunt, plans: list[Plan], begun: float, seconds: float) -> list[str]:
        remarks: dict[str, None] = {}
        several = self.jobs > 1 and self.target.spec is not None
        work = list(units(plans, self.seed, self.jobs if several else 1))
        if several:
            for number, found in enumerate(
                Workers(self.target, hunt.prober.dtype, self.gradient, self.jobs).run(work, hunt.deadline)
            ):
                self._tell(hunt, number, len(work), begun, seconds)
                for plan, values in found:
                    hunt.look(plan, values)
            for plan in plans:  # ordinary inputs, to compare patches on
                hunt.structured(plan, self.seed, lambda number: number % 8 == 0)
        else:
            for number, unit in enumerate(work):
                self._tell(hunt, number, len(work), begun, seconds)
                if hunt.left <= 0 or (unit.again and hunt.failures):
                    break
                if not unit.run(hunt):
                    remarks["Sizes were not drawn at random, for Hypothesis is missing: pip install hypothesis"] = None
        if hunt.left <= 0:
            remarks["The time was up before all was tried: give more of it (--time)"] = None
        return list(remarks)

    def _tell(self, hunt: Hunt, number: int, count: int, begun: float, seconds: float) -> None:
        part = max(number / count, (time.monotonic() - begun) / seconds)
        self.progress(f"{hunt.accepted} inputs, {len(hunt.failures)} places", min(1.0, part))

    def _inaccurate(self, prober: Prober, hunt: Hunt) -> list[Any]:
        """One loss of accuracy at most for each place: the worst."""
        try:
            judge = Accuracy(prober)
        except Exception:  # a module that cannot be made in float64 has nothing to compare with
            return []
        worst: dict[Any, Any] = {}
        for example in hunt.fine:
            if hunt.left <= 0:
                break
            loss = judge.loss(*example)
            if loss is None or len(worst) > 4:
                continue
            loss = judge.located(judge.smaller(loss))
            place = (loss.site.file, loss.site.line) if loss.site else None
            if place not in worst or worst[place].relative < loss.relative:
                worst[place] = loss
        lines = {(key[0], key[1]) for key in hunt.failures}
        return [loss for place, loss in worst.items() if place not in lines]


def _remarks(hunt: Hunt) -> list[str]:
    out = [f"Assumed, for that is what a guard says: {words} ({place}). State ranges with --input to search beyond it."
           for place, words in hunt.assumed.items()]  # fmt: skip
    if hunt.meant and not hunt.failures:
        out.append("Infinities that the function writes by name (a mask, an initial best) were left out.")
    if not hunt.accepted:
        out.append(f"No input was accepted: {next(iter(hunt.refused), 'none was tried')}")
    return out


def _domains(plans: list[Plan]) -> list[str]:
    """What was found out about ranges, where it is narrower than all reals."""
    out: dict[str, None] = {}
    for slot in (s for plan in plans for s in plan.floats):
        if not slot.stated and slot.domain.name != "real" and not likely(slot.name):
            out[
                f"{slot.name} was searched in {slot.domain} only: ordinary reals are refused there, or give a value "
                f'that is not finite. If callers may pass others, say so: --input "{slot.name}=float in [-10,10]"'
            ] = None
    return list(out)


def _spec(name: str, value: Any) -> Input:
    if isinstance(value, Input):
        return value
    if isinstance(value, str):
        return Input.parse(value, name)
    if isinstance(value, Tensor):
        raise UsageError(f"inputs[{name!r}] is a tensor. Give tensors as example={{...}}, and ranges as text or Input.")
    return Input("constant", constant=value)


def _dtypes(given: Any) -> list[torch.dtype]:
    several = [given] if isinstance(given, (str, torch.dtype)) else list(given)
    out = []
    for one in several:
        name = str(one).removeprefix("torch.")
        if name not in DTYPES:
            raise UsageError(f"dtype {name!r} cannot be searched. It is one of: {', '.join(DTYPES)}.")
        out.append(getattr(torch, name))
    return out


def _merged(name: str, reports: list[FuzzReport], seed: int, seconds: float) -> FuzzReport:
    """One report over all dtypes; a place that breaks in several is told for the first."""
    found: dict[Any, Finding] = {}
    for report in reports:
        for finding in report.findings:
            found.setdefault((finding.file, finding.line, finding.column, finding.expression), finding)
    refused: dict[str, int] = {}
    for report in reports:
        for words, times in report.refused.items():
            refused[words] = refused.get(words, 0) + times
    return FuzzReport(
        name=name,
        findings=tuple(found.values()),
        searched=tuple(dict.fromkeys(s for r in reports for s in r.searched)),
        remarks=tuple(dict.fromkeys(s for r in reports for s in r.remarks)),
        calls=sum(r.calls for r in reports),
        seconds=round(seconds, 3) if math.isfinite(seconds) else 0.0,
        seed=seed,
        dtypes=tuple(d for r in reports for d in r.dtypes),
        complete=all(r.complete for r in reports),
        refused=refused,
    )
