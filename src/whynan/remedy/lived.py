"""What trials in the running loop have shown, and what that is worth. Plain data: importing it imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field

from whynan.remedy.candidate import Candidate

HORIZON = 50
"""Iterations beyond the failure over which a remedy has to hold."""
NEAR = 0.02
"""A patch that leaves the losses before the failure within this relative difference has changed nothing there."""
HIGH = 1e3
"""A loss that is suspicious by itself, where the run failed before there was a loss to compare with."""


@dataclass(frozen=True, kw_only=True)
class Live:
    """What happened when one remedy was tried in the running loop."""

    class_: str
    experiment: str
    words: str  # "NaN again at step 44", "finite over 50 iterations beyond the failure, loss 0.31"
    passed: bool  # finite, with a healthy loss
    finite: bool
    usable: bool = True  # False: the trial says nothing about the remedy
    steps: int = 0  # iterations that were executed
    beyond: int = 0  # of these, how many after the one that had failed
    to_the_end: bool = False  # the loop came to its end
    failed_at: int | None = None  # optimizer steps completed when it failed again
    loss_before: float | None = None
    loss_after: float | None = None
    drift: float | None = None  # largest relative difference of the losses before the failure from the recorded ones
    whole: bool = False  # it began before the first step of the program

    @property
    def unchanged(self) -> bool:
        """Whether every loss before the failure was the recorded one, bit for bit."""
        return self.drift == 0.0

    @property
    def lasting(self) -> bool:
        """Whether it held over the horizon."""
        return self.passed and self.usable and (self.beyond >= HORIZON or self.to_the_end and self.beyond >= 1)

    @property
    def hopeless(self) -> bool:
        """Whether a run from the start would fail as well: nothing was changed before, and it failed again."""
        return self.usable and not self.finite and self.unchanged and self.failed_at is not None


@dataclass
class LiveTrials:
    """The trials of one failure: by patch (the very change), and by class (something that stands for it)."""

    patches: dict[str, Live] = field(default_factory=dict)
    classes: dict[str, Live] = field(default_factory=dict)
    experiments: dict[str, Live] = field(default_factory=dict)

    def exact(self, candidate: Candidate) -> Live | None:
        """The trial that did what the patch does."""
        own = self.patches.get(candidate.patch)
        return own or next((self.experiments[n] for n in candidate.live if n in self.experiments), None)

    def of(self, candidate: Candidate) -> Live | None:
        return self.exact(candidate) or self.classes.get(candidate.class_)


def replayed(live: Live) -> bool:
    """Whether a trial in the running loop proves a patch, where the program cannot be run again from its start.

    The trial did what the patch does, held over the horizon with a loss no worse than before, and left the iterations
    before the failure as they were: so the patched program comes to the failing iteration as the bare one did, and from
    there on it is the trial. A trial that began before the first step needs no such argument.
    """
    near = live.drift is not None and live.drift <= NEAR
    return live.lasting and (near or live.whole) and not is_poor(live.loss_before, live.loss_after)


def is_poor(before: float | None, after: float | None) -> bool:
    """Whether a loss ended clearly above that before the failure (or, with nothing to compare, high at all)."""
    if after is None:
        return False
    return after > HIGH if before is None else after > before + abs(before) + 0.5
