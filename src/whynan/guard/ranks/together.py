"""Executing iterations again on all ranks: one leads the investigation, the others do what it does.

The leader announces every attempt, and at the end of each of its iterations whether it goes on. The others execute the
same iterations from their own states, so that every collective operation is made by all, with the numbers of then. What
the leader looks at, or changes on itself, is not theirs to know.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from whynan.guard.ranks.channel import Channel, Silence
from whynan.guard.ranks.own import OwnGradients
from whynan.guard.ranks.ranks import Ranks
from whynan.watch.attempts import Attempt, Attempts, Outcome
from whynan.watch.goingon import Continue

if TYPE_CHECKING:
    from whynan.guard.ranks.ear import Ear
    from whynan.guard.ranks.meeting import Meeting
    from whynan.watch.looprun import LoopRun

Plan = Generator[Attempt, Outcome, "bool | Continue"]
QUIET = 20.0  # seconds after which a rank that shows no sign of life has ended


class Together:
    """One meeting's investigation, as this rank takes part in it."""

    def __init__(self, ranks: Ranks, run: LoopRun, attempts: Attempts) -> None:
        assert ranks.meeting is not None and ranks.channel is not None and ranks.ear is not None
        self.ranks, self.run, self.attempts = ranks, run, attempts
        self.meeting: Meeting = ranks.meeting
        self.channel: Channel = ranks.channel
        self.ear: Ear = ranks.ear
        self.round = ranks.ear.round
        self.apart = False  # the others cannot follow any more
        self._orders = self._iterations = 0
        self._beat: Any = None
        attempts.alarm_at = self.meeting.failed

    def find_first(self) -> Generator[Attempt, Outcome, None]:
        """Averaged gradients are bad on every rank: the one whose own were bad first, before the averaging, leads."""
        assert self.run.record is not None
        snapshot = self.run.record.at_or_before(self.meeting.failed)
        if not self.meeting.contested or snapshot is None:
            return
        own = OwnGradients(snapshot)
        yield Attempt(snapshot=snapshot, until=self.meeting.failed, around=own.looked_at, stop_at_symptom=False)
        key = f"{self.round}/own"
        self.channel.tell(f"{key}/{self.channel.rank}", bad=own.bad)
        with contextlib.suppress(Silence):
            everybody = [self.channel.hear(f"{key}/{rank}", QUIET)["bad"] for rank in range(self.channel.world)]
            found = [(index, rank) for rank, index in enumerate(everybody) if index is not None]
            leader = min(found)[1] if found else self.meeting.leader
            self.meeting = self.ranks.meeting = replace(self.meeting, leader=leader)

    # the leader ------------------------------------------------------------------------------------------------

    def lead(self, plan: Plan) -> Plan:
        """`plan`, announced to the others."""
        outcome: Any = None
        while True:
            try:
                attempt = plan.send(outcome)
            except StopIteration as finished:
                return self._concluded(finished.value)
            assert self.run.record is not None
            if self.apart or attempt.risky or attempt.snapshot not in self.run.record.snapshots:
                outcome = Outcome("exception", error=RuntimeError("the other ranks cannot execute this"))
                continue
            self.order("attempt", snapshot=attempt.snapshot.index, until=attempt.until)
            attempt.around = self._announced(attempt, attempt.around)
            outcome = yield attempt
            self.ear.busy = None
            self._wait_for_the_others(outcome)

    def order(self, what: str, **facts: Any) -> None:
        if not self.apart:
            self.channel.tell(f"{self.round}/order/{self._orders}", do=what, **facts)
            self._orders += 1
            self._iterations = 0

    def _announced(self, attempt: Attempt, around: Any) -> Callable[[int], contextlib.AbstractContextManager[Any]]:
        @contextlib.contextmanager
        def announced(index: int) -> Iterator[None]:
            self.ear.busy = time.monotonic()
            try:
                with around(index) if around is not None else contextlib.nullcontext():
                    yield
            finally:
                ends = self.attempts.outcome.ended != "done" or index >= attempt.until
                self.channel.tell(self._iteration(), ends=ends)

        return announced

    def _iteration(self) -> str:
        self._iterations += 1
        return f"{self.round}/iteration/{self._orders}/{self._iterations}"

    def _wait_for_the_others(self, outcome: Outcome) -> None:
        """They have to be at the end of the attempt too; if not, one of them waits in a collective."""
        try:
            for rank in range(self.channel.world):
                if rank != self.channel.rank:
                    seconds = 5.0 + 5 * self.ear.longest if outcome.ended in ("exception", "left") else QUIET
                    self.channel.hear(f"{self.round}/over/{self._orders}/{rank}", seconds)
        except Silence:
            self.apart = True

    def _concluded(self, answer: bool | Continue) -> bool | Continue:
        if isinstance(answer, Continue):  # a guard's answer is known to all, every other one is of the leader only
            self.ranks.adjourn(self.run, self.run.first + answer.snapshot.index)
        elif answer:
            self._stop_at_a_snapshot()
            self.channel.tell(f"{self.round}/order/{self._orders}", do="stop", apart=self.apart)
        else:
            self.order("resume")
            self.ranks.adjourn(self.run, self.run.iteration + 1)
        return answer

    # the others ------------------------------------------------------------------------------------------------

    def follow(self, guarded: Callable[[], Continue | None]) -> Plan:
        """What a rank does that does not lead. `guarded()`: the answer of the guard, the same as the leader's."""
        while True:
            try:
                order = self.channel.hear(f"{self.round}/order/{self._orders}", QUIET, self._leader_lives)
            except Silence:
                order = {"do": "stop", "apart": True}
            self._orders += 1
            self._iterations = 0
            if order["do"] == "attempt":
                yield from self._follow_attempt(order)
            elif order["do"] == "guard":
                plan = guarded()
                if plan is not None:
                    self.ranks.adjourn(self.run, self.run.first + plan.snapshot.index)
                    return plan
            elif order["do"] == "continue":
                snapshot = self._snapshot(order["snapshot"])
                self.ranks.adjourn(self.run, self.run.first + snapshot.index)
                return Continue(snapshot=snapshot, drop=frozenset(order["drop"]), quiet_to=order["quiet_to"])
            elif order["do"] == "resume":
                self.ranks.watcher.pending = None
                self.ranks.adjourn(self.run, self.run.iteration + 1)
                return False
            else:
                self.apart = order["apart"]
                self._stop_at_a_snapshot()
                return True

    def _follow_attempt(self, order: dict[str, Any]) -> Generator[Attempt, Outcome, None]:
        attempt = Attempt(snapshot=self._snapshot(order["snapshot"]), until=order["until"], stop_at_symptom=False)
        attempt.around = self._obedient(attempt)
        yield attempt
        self.ear.busy = None
        self.channel.tell(f"{self.round}/over/{self._orders}/{self.channel.rank}")

    def _obedient(self, attempt: Attempt) -> Callable[[int], contextlib.AbstractContextManager[Any]]:
        @contextlib.contextmanager
        def obedient(index: int) -> Iterator[None]:
            self.ear.busy = time.monotonic()
            try:
                yield
            finally:
                try:
                    ends = self.channel.hear(self._iteration(), QUIET, self._leader_lives)["ends"]
                except Silence:
                    ends = True
                if ends:
                    attempt.until = index

        return obedient

    def _snapshot(self, index: int) -> Any:
        assert self.run.record is not None
        return next(s for s in self.run.record.snapshots if s.index == index)

    def _leader_lives(self) -> bool:
        """Since it was asked last."""
        key = f"beat/{self.meeting.leader}"
        with contextlib.suppress(Silence):
            beat = self.channel.hear(key, 1.0)
            alive, self._beat = beat != self._beat, beat
            return alive
        return False

    def _stop_at_a_snapshot(self) -> None:
        """Where the ranks cannot go to the last healthy state together, each goes to one that it has."""
        assert self.run.record is not None
        snapshot = self.run.record.at_or_before(self.attempts.alarm_at)
        if self.apart and snapshot is not None:
            self.attempts.alarm_at = snapshot.index
