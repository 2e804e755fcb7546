"""The item of an iteration is handed out again as the body first saw it."""

from dataclasses import dataclass

import torch

from whynan.watch.items import HeldItem


@dataclass
class Batch:
    x: torch.Tensor
    meta: dict


def test_containers_return() -> None:
    x = torch.rand(3)
    item = (4, {"x": x, "rest": [1, 2]}, Batch(x, {"id": 1}))
    held = HeldItem(item)
    item[1].pop("x")
    item[1]["rest"].append(3)
    item[2].x = None  # type: ignore[assignment]
    item[2].meta["id"] = 2
    held.put_back()
    assert item[1] == {"x": x, "rest": [1, 2]} and item[2].x is x and item[2].meta == {"id": 1}


def test_writing_is_noticed_and_values_return_where_they_are_copied() -> None:
    x = torch.ones(3)
    held = HeldItem([x])
    assert not held.written
    held = HeldItem([x], copy=True)
    x.mul_(2)
    assert held.written
    held.put_back()
    assert x.tolist() == [1, 1, 1]


def test_state_that_comes_with_several_items_is_left_alone() -> None:
    state = {"count": 0}
    first = HeldItem((0, state))
    second = HeldItem((1, state), shared=first.containers)
    state["count"] = 5
    second.put_back()
    assert state["count"] == 5
