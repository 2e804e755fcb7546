"""Validation and test data: found by the variables, looked at without a worker, a model or a draw that is missed."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

import torch
from torch.utils.data import ConcatDataset, DataLoader, Subset, TensorDataset

from whynan.preflight.data.others import SPARE, Feed, beneath, others, running, scans
from whynan.preflight.data.problems import problems_of_others
from whynan.preflight.data.scan import Scan

ROWS = torch.arange(200.0).reshape(100, 2)
NAMES = {"[0]": "x"}


def found(frame: FrameType, busy: list[Feed] | None = None) -> dict[str, Any]:
    return others(frame, lambda file: file == __file__, lambda module: module == __name__, busy or [])


def looked_at(things: dict[str, Any], like: Feed | None = None, seconds: float = 30.0) -> dict[str, Scan]:
    return scans(things, NAMES, like, seconds, lambda: None, lambda name, batches: lambda: None)


class Holder:
    def __init__(self, **things: Any) -> None:
        self.__dict__.update(things)


def test_what_feeds_the_loop_and_what_loaders_use_is_left_out() -> None:
    whole = TensorDataset(ROWS)
    train, val = Subset(whole, range(60)), Subset(whole, range(60, 100))
    train_loader, val_loader = DataLoader(train, 10), DataLoader(val, 10)
    part = TensorDataset(ROWS[:7])
    own = {"test": DataLoader(ConcatDataset([whole, part]))}
    trainer = Holder(eval_rows=[{"x": row} for row in ROWS[:20]], train_rows=list(ROWS), lr=0.1)
    x_val, x_train, test_share, weights_val = ROWS.numpy(), ROWS, 0.2, torch.ones(20, requires_grad=True)
    unused = TensorDataset(ROWS)
    for _ in train_loader:
        busy = [feed for feed in running() if feed.dataset is train]
        names = set(found(sys._getframe(), busy))
        break
    assert names == {"val_loader", "own['test']", "trainer.eval_rows", "x_val", "unused"}
    assert busy[0].batches == 6 and not [feed for feed in running() if feed.dataset is val]
    assert len(val_loader) == 4 and own and trainer and len(x_val) == len(x_train) and test_share < 1
    assert weights_val.requires_grad and unused


def test_names_of_spare_data() -> None:
    spare = ["val_loader", "x_test", "self.eval_dataset", "loaders['val']", "dev_set", "test", "valid_x", "X_val2"]
    assert all(SPARE.search(name) for name in spare)
    assert not any(SPARE.search(name) for name in ("value", "evaluate_every", "latest", "x_train", "testing", "device"))


def test_looking_changes_nothing() -> None:
    own = torch.Generator().manual_seed(3)
    dataset = TensorDataset(ROWS)
    loader = DataLoader(dataset, 10, shuffle=True, generator=own, num_workers=2, timeout=5, persistent_workers=True)
    before, state = own.get_state(), torch.get_rng_state()
    seen = looked_at({"val_loader": loader})["val_loader"]
    assert (seen.batches, seen.samples, seen.source, seen.error) == (10, 100, "val_loader", None)
    assert torch.equal(own.get_state(), before) and torch.equal(torch.get_rng_state(), state)
    assert (loader.num_workers, loader.timeout, loader.prefetch_factor) == (2, 5, 2)


def test_iterators_of_the_users_lose_no_batch() -> None:
    loader = DataLoader(TensorDataset(ROWS), 10)
    theirs = iter(loader)
    next(theirs)
    looked_at({"val_loader": loader})
    assert next(theirs)[0][0, 0] == 20.0


def test_lists_are_put_together_as_training_batches_are() -> None:
    rows = [{"ids": torch.arange(n)} for n in (3, 5, 2, 9, 4, 1, 7, 8)]

    def collate(batch: list[dict[str, torch.Tensor]]) -> torch.Tensor:
        return torch.nn.utils.rnn.pad_sequence([row["ids"] for row in batch], batch_first=True)

    loader = DataLoader(rows, 4, collate_fn=collate)  # type: ignore[arg-type]
    iterator = iter(loader)
    feed = next(feed for feed in running() if feed.dataset is rows)
    del iterator
    assert looked_at({"eval_rows": rows}, feed)["eval_rows"].batches == 2
    assert looked_at({"eval_rows": rows}) == {}  # rows of unequal length make no batch


def test_missing_values_are_a_warning_with_the_name_and_rows() -> None:
    x = torch.randn(50, 3)
    x[17, 2] = float("nan")
    spoilt = {"val_loader": DataLoader(TensorDataset(x), 8), "x_test": x.numpy()}
    seen = looked_at(spoilt)
    found = {p.where: p for p in problems_of_others(Scan(), seen.values())}
    assert set(found) == {"val_loader: x, column 2", "x_test, column 2"}
    assert all(p.severity == "warning" and p.samples == (17,) for p in found.values())
    dealt_with = Scan(handled={"x"})
    assert [p.severity for p in problems_of_others(dealt_with, [seen["val_loader"]])] == ["note"]


def test_time_is_shared_and_loaders_may_raise() -> None:
    class Endless(torch.utils.data.IterableDataset):  # type: ignore[type-arg]
        def __iter__(self) -> Any:
            while True:
                yield torch.zeros(2)

    class Broken(torch.utils.data.Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return 4

        def __getitem__(self, i: int) -> torch.Tensor:
            raise OSError("no such shard")

    things = {"a": DataLoader(Endless(), 4), "val": DataLoader(Broken()), "c": DataLoader(TensorDataset(ROWS))}
    seen = looked_at(things, seconds=3.0)
    assert not seen["a"].complete and isinstance(seen["val"].error, OSError) and seen["c"].samples == 100


def test_indices_of_subsets_are_those_of_the_data_set_beneath() -> None:
    inner = Subset(TensorDataset(ROWS), [50, 60, 70, 80])
    assert beneath(Subset(inner, [3, 1]), [0, 1]) == [80, 60]
    assert beneath(TensorDataset(ROWS), [4]) == [4] and beneath(inner, None) is None
