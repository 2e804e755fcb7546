"""Messages between the processes of a run, beside their collective operations: keys in the store they met through.

A collective would hang as soon as one process does not come to it. A key can be asked for with patience, and whoever
waits for one says so when the patience is over.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from typing import Any

import torch

_PAUSES = 0.0005, 0.03  # seconds between two questions, first and later
_SIZES = ("WORLD_SIZE", "SLURM_NTASKS", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE")


class Silence(Exception):
    """Somebody did not answer in time."""


class Channel:
    """What this process (`rank` of `world`) tells and hears. Values are strict JSON."""

    def __init__(self, store: Any, rank: int, world: int) -> None:
        self.store, self.rank, self.world = store, rank, world

    @classmethod
    def open(cls) -> Channel | None:
        """None while there is one process only, or where the store takes no second connection."""
        distributed = torch.distributed
        if not started() or distributed.get_world_size() < 2:
            return None
        store = _connection()
        return None if store is None else cls(store, distributed.get_rank(), distributed.get_world_size())

    def another(self) -> Channel:
        """A connection of its own, for another thread: a wait on one connection blocks all that use it."""
        store: Any = self.store
        return Channel(store.clone(), self.rank, self.world)

    def tell(self, key: str, **facts: Any) -> None:
        self.store.set(key, json.dumps(facts))

    def told(self, key: str) -> bool:
        return bool(self.store.check([key]))

    def hear(self, key: str, seconds: float, hope: Callable[[], bool] = lambda: False) -> dict[str, Any]:
        """What was told under `key`. Raises Silence after `seconds` without it, and without `hope`."""
        until, pause = time.monotonic() + seconds, _PAUSES[0]
        while True:
            try:
                if self.told(key):  # `store.wait` would print a warning when its time is over
                    facts: dict[str, Any] = json.loads(self.store.get(key))
                    return facts
            except RuntimeError as error:
                raise Silence(f"the store of the processes is gone: {error}") from None
            if time.monotonic() > until:
                if not hope():
                    raise Silence(f"nobody said {key} for {seconds:.0f} s")
                until = time.monotonic() + seconds
            time.sleep(pause)
            pause = min(1.5 * pause, _PAUSES[1])


def started() -> bool:
    """torch.distributed has its processes."""
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def many_ranks() -> bool:
    return started() and torch.distributed.get_world_size() > 1


def many_expected() -> bool:
    """Whoever started this process (torchrun, Slurm, MPI) started others too. Never imports torch."""
    return any(os.environ.get(name, "1").isdigit() and int(os.environ.get(name, "1")) > 1 for name in _SIZES)


def rank_expected() -> int:
    """The rank that the starter gave to this process; 0 where it did not say."""
    given = next((os.environ[n] for n in ("RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK") if n in os.environ), "0")
    return int(given) if given.isdigit() else 0


def _connection() -> Any:
    """A connection of its own to the store of the default group (a private name of torch, only used here)."""
    from torch.distributed import PrefixStore, distributed_c10d

    try:
        default: Any = distributed_c10d._get_default_store()
        store = PrefixStore("whynan", default.clone())
        store.check(["alarm"])
    except (AttributeError, RuntimeError, ValueError, NotImplementedError):
        return None
    return store
