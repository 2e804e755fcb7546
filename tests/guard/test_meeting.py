"""From what the ranks told each other every one of them concludes the same."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whynan.guard.ranks.meeting import Facts, Meeting

INDICES = st.lists(st.integers(0, 20), unique=True).map(sorted)


@st.composite
def facts(draw: st.DrawFn) -> list[Facts]:
    world = draw(st.integers(2, 5))
    told = []
    for rank in range(world):
        known = draw(INDICES)
        told.append(
            Facts(
                rank=rank, loop="train.py:7", first=3, index=21, failed=draw(st.none() | st.integers(15, 21)),
                step=draw(st.integers(10, 12)), what=draw(st.sampled_from(["loss", "gradient", "parameter"])),
                snapshots=known, healthy=[i for i in known if draw(st.booleans())], autocast=draw(st.booleans()),
            )  # fmt: skip
        )
    return told


@given(facts())
def test_all_conclude_the_same(told: list[Facts]) -> None:
    everybody = [dataclasses.asdict(one) for one in told]
    meetings = [Meeting.of(everybody, one.rank) for one in told]
    if isinstance(meetings[0], str):
        assert len(set(map(str, meetings))) == 1
        return
    agreed = [m for m in meetings if isinstance(m, Meeting)]
    assert len({dataclasses.replace(m, rank=0) for m in agreed}) == 1
    assert [m.leads for m in agreed].count(True) == 1
    common = agreed[0].snapshots
    assert all(common <= set(one.snapshots) for one in told)
    assert agreed[0].healthy <= common and all(i < agreed[0].failed for i in agreed[0].healthy)
    assert told[agreed[0].leader].failed == agreed[0].failed


def one(rank: int, **changed: object) -> dict[str, object]:
    known: dict[str, object] = {"rank": rank, "loop": "a.py:1", "first": 0, "index": 9, "failed": 9, "step": 9,
                                "what": "loss", "snapshots": [0, 8], "healthy": [0]}  # fmt: skip
    return known | changed


def test_the_first_alarm_leads() -> None:
    """A loss is seen before the gradients that it spoils everywhere."""
    meeting = Meeting.of([one(0, what="gradient"), one(1)], 0)
    assert isinstance(meeting, Meeting) and meeting.leader == 1 and not meeting.contested
    meeting = Meeting.of([one(0, step=8), one(1)], 0)
    assert isinstance(meeting, Meeting) and meeting.leader == 0


def test_averages_leave_open_who_was_first() -> None:
    for told in ([one(0), one(1)], [one(0, what="gradient"), one(1, failed=None)]):
        meeting = Meeting.of(told, 0)
        assert isinstance(meeting, Meeting) and meeting.contested


@pytest.mark.parametrize(
    "told, says",
    [
        ([one(0, index=8), one(1)], "rank 0 in iteration 8"),
        ([one(0, snapshots=[0]), one(1, snapshots=[8])], "no state in common"),
        ([one(0, failed=None), one(1, failed=None)], "is over"),
    ],
)
def test_why_there_can_be_no_meeting(told: list[dict[str, object]], says: str) -> None:
    answer = Meeting.of(told, 0)
    assert isinstance(answer, str) and says in answer
