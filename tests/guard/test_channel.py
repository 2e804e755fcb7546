"""Messages with patience, in one process."""

from __future__ import annotations

import threading
import time

import pytest
from torch.distributed import HashStore

from whynan.guard.ranks.channel import Channel, Silence, many_expected


def test_what_is_told_is_heard() -> None:
    channel = Channel(HashStore(), 0, 2)
    threading.Timer(0.05, lambda: channel.tell("key", iteration=3)).start()
    assert not channel.told("key")
    assert channel.hear("key", 5.0) == {"iteration": 3} and channel.told("key")


def test_patience_ends() -> None:
    channel = Channel(HashStore(), 0, 2)
    started = time.monotonic()
    with pytest.raises(Silence, match="nobody said key"):
        channel.hear("key", 0.1)
    assert time.monotonic() - started < 5


def test_hope_prolongs_it() -> None:
    channel, hopes = Channel(HashStore(), 0, 2), iter([True, True, False])
    with pytest.raises(Silence):
        channel.hear("key", 0.05, lambda: next(hopes))
    assert next(hopes, "asked three times") == "asked three times"


@pytest.mark.parametrize("name, value, several", [("WORLD_SIZE", "2", True), ("WORLD_SIZE", "1", False),
                                                  ("SLURM_NTASKS", "8", True), ("WORLD_SIZE", "x", False)])  # fmt: skip
def test_started_with_others(name: str, value: str, several: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for known in ("WORLD_SIZE", "SLURM_NTASKS", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE"):
        monkeypatch.delenv(known, raising=False)
    monkeypatch.setenv(name, value)
    assert many_expected() == several
