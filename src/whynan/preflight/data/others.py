"""Data that the program has beside what its training loop is fed: validation and test, by the name of the variable.

What exists when training begins is looked for in the variables of the loop's function and of those that called it, in
the user's containers and in the attributes of the user's objects: every `DataLoader`, every `Dataset` that no loader
uses, and under a name like `x_val` or `test_rows` also lists, tensors, arrays and data frames. Loaders yield in this
process, whatever their workers; their batches go to no model, and random states are put back.
"""

from __future__ import annotations

import contextlib
import gc
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import FrameType
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset
from torch.utils.data.dataloader import _BaseDataLoaderIter

from whynan.preflight.data.scan import Scan, length, look_through
from whynan.preflight.data.sources import LEAST, feeds, tables_of
from whynan.watch.dataloader import NO_WORKERS
from whynan.watch.frames import callers, read_locals
from whynan.watch.quarantine import quarantine
from whynan.watch.randomness import RandomState

DEEP = 3  # attributes of attributes of variables
WIDE = 64  # longest container that is looked into
MOST = 8  # sources
ENDLESS = 3.0  # seconds for one that does not say how long it is
_WORDS = "val|valid|validation|eval|evaluation|test|dev|holdout"
SPARE = re.compile(rf"(^|[_.\['\"])({_WORDS})($|[_.\]'\"]|\d)", re.IGNORECASE)


def others(
    frame: FrameType,
    is_user_file: Callable[[str], bool],
    is_user_module: Callable[[str], bool],
    busy: Iterable[Feed],
) -> dict[str, Any]:
    """Variable -> loader, data set or table, none of which feeds the loop that runs in `frame`.

    busy: what does. A data set of some loader, or one that a part was taken from, is not looked at twice.
    """
    found = dict(_named(frame, is_user_file, is_user_module))
    wholes = [thing.dataset for thing in found.values() if isinstance(thing, (DataLoader, Subset))]
    used = {id(part) for whole in (*(feed.dataset for feed in busy), *wholes) for part in _chain(whole)}
    draws = {id(feed.sampler) for feed in busy}
    used |= {id(x) for x in found.values() if isinstance(x, DataLoader) and id(x._index_sampler) in draws}
    chosen = [(name, thing) for name, thing in found.items() if id(thing) not in used and _wanted(name, thing)]
    return dict(chosen[:MOST])


@dataclass(frozen=True)
class Feed:
    """What a running iterator of a `DataLoader` draws from; the loader itself may be gone."""

    dataset: Any
    sampler: Any  # of lists of indices
    collate: Callable[[Any], Any]
    batches: int | None


def running() -> list[Feed]:
    """Of every `DataLoader` that is being iterated: the iterator of a loop that is over does not live."""
    iterators = [thing for thing in gc.get_objects() if issubclass(type(thing), _BaseDataLoaderIter)]
    return [Feed(it._dataset, it._index_sampler, it._collate_fn, length(it)) for it in iterators]


def scans(
    found: Mapping[str, Any],
    names: Mapping[str, str],
    like: Feed | None,
    seconds: float,
    indices: Callable[[], list[int] | None],
    told: Callable[[str, int | None], Callable[[], object]],
) -> dict[str, Scan]:
    """Variable -> what one pass saw. Each gets its share of `seconds`; what cannot be put into batches is left out.

    names: of the parts of a training batch; like: what training draws from, whose batches those of data sets resemble;
    told: called with the variable and how many batches it has, gives what to call after each of them.
    """
    answers: dict[str, Scan] = {}
    random, end = RandomState(), time.monotonic() + seconds
    try:
        for number, (name, thing) in enumerate(found.items()):
            share = max(0.0, end - time.monotonic()) / (len(found) - number)
            try:
                scan = _scan(name, thing, names, like, share, indices, told)
            except Exception as error:  # what was found before is worth more than what is wrong with these
                scan = Scan(error=error, complete=False)
            if scan.batches or isinstance(thing, DataLoader):
                scan.source = name
                answers[name] = scan
    finally:
        random.restore()
    return answers


def beneath(dataset: Any, indices: list[Any] | None) -> list[int] | None:
    """Indices in the data set that a `Subset` (of a `Subset`, as of `random_split`) was taken from.

    None for a data set that is iterated, or has keys.
    """
    if indices is None or not all(isinstance(i, int) for i in indices):
        return None
    while indices is not None and isinstance(dataset, Subset):
        indices, dataset = [int(dataset.indices[i]) for i in indices], dataset.dataset
    return indices


def _scan(
    name: str, thing: Any, names: Mapping[str, str], like: Feed | None, seconds: float, indices: Any, told: Any
) -> Scan:
    if not isinstance(thing, DataLoader) and not isinstance(thing, Dataset) and not isinstance(thing, (list, tuple)):
        tables = dict(tables_of(name, thing))
        return look_through([tables], seconds=seconds, names={f"[{label!r}]": label for label in tables})
    with contextlib.ExitStack() as stack:
        loader = thing if isinstance(thing, DataLoader) else _loader_of(thing, like)
        stack.enter_context(_in_this_process(loader))
        each = told(name, length(loader))
        stack.enter_context(quarantine())

        def drawn() -> list[int] | None:
            return beneath(loader.dataset, indices())

        most = seconds if length(loader) is not None else min(seconds, ENDLESS)
        return look_through(loader, seconds=most, names=names, indices=drawn, each=each)


def _loader_of(data: Any, like: Feed | None) -> DataLoader[Any]:
    """Batches as training has them."""
    size = getattr(like.sampler, "batch_size", None) if like is not None else None
    return DataLoader(data, size or 64, collate_fn=like.collate if like is not None else None)


@contextlib.contextmanager
def _in_this_process(loader: Any) -> Iterator[None]:
    """No workers, and the state of the generators that it draws from put back."""
    state = loader.__dict__
    kept = {key: state[key] for key in NO_WORKERS if key in state}
    owners = (loader, loader.sampler, getattr(loader.batch_sampler, "sampler", None))
    generators = {id(g): g for g in (getattr(o, "generator", None) for o in owners) if isinstance(g, torch.Generator)}
    states = [(g, g.get_state()) for g in generators.values()]
    state.update(NO_WORKERS)
    try:
        yield
    finally:
        state.update(kept)
        for generator, before in states:
            generator.set_state(before)


def _wanted(name: str, thing: Any) -> bool:
    if isinstance(thing, DataLoader):
        return True
    if isinstance(thing, IterableDataset) or not hasattr(thing, "__len__"):
        return False
    if isinstance(thing, Dataset):
        return len(thing) > 0  # type: ignore[arg-type]
    if SPARE.search(name) is None:
        return False
    if isinstance(thing, (list, tuple)):
        return len(thing) >= LEAST and feeds(thing[0])
    return any(len(t.shape) and t.shape[0] >= LEAST and not getattr(t, "requires_grad", False) for _, t in
               tables_of(name, thing))  # fmt: skip


def _chain(dataset: Any) -> Iterator[Any]:
    """A data set and those that it is made from."""
    pending = [dataset]
    while pending and (one := pending.pop(0)) is not None:
        yield one
        pending += [getattr(one, "dataset", None), *(getattr(one, "datasets", None) or ())]
        pending = [part for part in pending if part is not None]


def _named(
    frame: FrameType, is_user_file: Callable[[str], bool], is_user_module: Callable[[str], bool]
) -> Iterator[tuple[str, Any]]:
    """(name, thing) of everything that may hold data, each thing once, under the name nearest to the loop."""
    seen: set[int] = set()
    spaces: list[Mapping[str, Any]] = []
    for caller in callers(frame):
        if is_user_file(caller.f_code.co_filename):
            spaces += [read_locals(caller), caller.f_globals]
    level = [(name, value) for space in spaces for name, value in space.items() if not name.startswith("__")]
    for depth in range(DEEP + 1):
        inner: list[tuple[str, Any]] = []
        for name, value in level:
            if id(value) in seen:
                continue
            seen.add(id(value))
            if isinstance(value, (DataLoader, Dataset)) or (SPARE.search(name) and _wanted(name, value)):
                yield name, value
            elif depth < DEEP:
                inner += _parts(name, value, is_user_module)
        level = inner


def _parts(name: str, value: Any, is_user_module: Callable[[str], bool]) -> Iterable[tuple[str, Any]]:
    if isinstance(value, dict):
        return [(f"{name}[{key!r}]", v) for key, v in list(value.items())[:WIDE] if isinstance(key, (str, int))]
    if isinstance(value, (list, tuple)):
        return [(f"{name}[{i}]", v) for i, v in enumerate(value)] if len(value) <= WIDE else []
    if isinstance(value, type) or not is_user_module(type(value).__module__ or ""):
        return []
    state = getattr(value, "__dict__", None)
    return [(f"{name}.{key}", v) for key, v in list(state.items())[:WIDE]] if type(state) is dict else []
