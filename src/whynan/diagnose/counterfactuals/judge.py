"""Did the change cure? Finite over the horizon, and with a loss that still looks like training."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median
from typing import Any

from torch import Tensor

from whynan.diagnose.inquest import Inquest
from whynan.diagnose.words import count
from whynan.tensors.many import is_finite
from whynan.watch.attempts import Attempt, Outcome

LOSS_FACTOR = 10.0  # a "healthy" loss may be ten times the usual one: float64 "cured" a divergence at 7e88 times
MENDED_FACTOR = 100.0  # where one value was mended, the loss term that was infinite is merely large
RECOVERING = 0.1  # of the loss at the start of the attempt, where that was already far too high
MENDING = frozenset({"op-guard", "impute", "mend-state", "float32"})


@dataclass(frozen=True)
class Verdict:
    """`passed`: nothing non-finite and a healthy loss. `finite` alone is not enough. `steps` iterations beyond
    the failure."""

    experiment: str
    title: str
    passed: bool
    finite: bool
    words: str
    steps: int
    loss: float | None = None
    later: int = 0  # iterations between the first failure and this one; negative if it came earlier
    usable: bool = True  # False: the change broke the program in another way and says nothing
    at: int | None = None  # optimizer steps completed when it failed again


def usual_loss(inquest: Inquest) -> tuple[float, float] | None:
    """(median, width) of the losses before things went wrong: the earlier half of what is remembered."""
    if inquest.history is None:
        return None
    losses = [v for *_, v in inquest.history.loss if math.isfinite(v)]
    early = losses[: max(1, (len(losses) + 1) // 2)]
    if not early:
        return None
    middle = median(early)
    if len(losses) < 3:  # too few to know what is usual: only a loss far away from them is called unhealthy
        return middle, 1e3 * max(1.0, abs(middle))
    return middle, max(
        abs(middle), max(early) - min(early) if len(early) < 4 else median(abs(v - middle) for v in early)
    )


def judge(inquest: Inquest, name: str, title: str, attempt: Attempt, outcome: Outcome) -> Verdict:
    """What the outcome of an attempt says."""
    beyond = attempt.snapshot.index + outcome.executed - 1 - inquest.index
    losses = [value for kind, _, value in outcome.fingerprints if kind == "loss"]
    if outcome.symptom is not None:
        at = attempt.snapshot.index + max(0, outcome.executed - 1)
        later = at - inquest.index
        when = (
            "at the same iteration"
            if later == 0
            else f"{count(abs(later), 'iteration')} {'later' if later > 0 else 'earlier'}"
        )
        words = f"failed again {when}: {outcome.symptom.what} {outcome.symptom.value}"
        elsewhere = name == "identical" and later < 0 and _was_finite(inquest, outcome.symptom)
        words += ", where it had been finite" if elsewhere else ""
        return Verdict(name, title, elsewhere, False, words, beyond, later=later, at=outcome.symptom.step)
    if outcome.ended == "exception":
        error = outcome.error
        same = _same_error(inquest, error)
        words = f"{type(error).__name__}: {str(error).splitlines()[0][:100] if str(error) else ''}"
        return Verdict(name, title, False, False, f"ended with {words}", beyond, usable=same or not _our_fault(error))
    if not all(math.isfinite(v) for v in losses):
        return Verdict(name, title, False, False, "the loss was non-finite again", beyond)
    if _watched_is_bad(inquest):
        return Verdict(name, title, False, False, "the same tensor was non-finite again", beyond)
    if outcome.ended == "left" and beyond <= 0:  # a program that leaves its loop when it sees a NaN leaves it here
        return Verdict(name, title, False, beyond < 0, "the loop was left", beyond, usable=beyond == 0)
    loss = median(losses[-max(1, len(losses) // 4) :]) if losses else None
    usual = usual_loss(inquest)
    limit = usual[0] + (MENDED_FACTOR if name in MENDING else LOSS_FACTOR) * usual[1] if usual is not None else math.inf
    if loss is not None and usual is not None and loss > limit:
        words = f"finite, but the loss is {loss:.3g} where it was {usual[0]:.3g}"
        begun = abs(losses[0])
        if begun <= limit:
            return Verdict(name, title, False, True, words, beyond, loss)
        # no snapshot is older than the divergence: what counts is which way the loss goes from there
        if abs(loss) < RECOVERING * begun:
            return Verdict(
                name, title, True, True, f"finite; the loss falls from {begun:.3g} to {loss:.3g}", beyond, loss
            )
        return Verdict(name, title, False, True, words, beyond, loss, usable=abs(loss) > begun)
    shown = f", loss {loss:.3g}" if loss is not None else ""
    return Verdict(
        name, title, True, True, f"all finite, {max(0, beyond)} iterations beyond the failure{shown}", beyond, loss
    )


def _was_finite(inquest: Inquest, symptom: Any) -> bool:
    """The control failed in a step whose loss had been finite the first time."""
    if symptom.what != "loss" or inquest.history is None:
        return False
    return any(step == symptom.step and math.isfinite(loss) for _, step, loss in inquest.history.loss)


def _same_error(inquest: Inquest, error: BaseException | None) -> bool:
    known = inquest.seen.error if inquest.seen is not None else None
    return known is not None and type(known) is type(error)


def _our_fault(error: BaseException | None) -> bool:
    """Complaints about a dtype, a shape or a missing method come from the change, not from the failure."""
    return isinstance(error, (TypeError, AttributeError, RuntimeError, ValueError, NotImplementedError))


def _watched_is_bad(inquest: Inquest) -> bool:
    """For symptoms that do not raise an alarm by themselves: buffers, and optimizer state that no update shows."""
    seen = inquest.seen
    if seen is not None and seen.what == "buffer":
        return any(not is_finite(t) for t in seen.tensors)
    if seen is not None and seen.what == "state":  # each execution may make its own state tensors
        states = (state for optimizer in inquest.optimizers for state in optimizer.state.values())
        return any(isinstance(v, Tensor) and not is_finite(v) for state in states for v in state.values())
    return False
