"""Observing changes not a bit, and own mistakes stay our own."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from replay.observing import observe
from whynan.replay.scope import Scope


def _train(observed):
    torch.manual_seed(3)
    layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.2, batch_first=True)
    model = nn.Sequential(
        layer, nn.Flatten(), nn.Linear(16 * 5, 20), nn.BatchNorm1d(20), nn.Dropout(0.5), nn.Linear(20, 3)
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []

    def step():
        x, y = torch.randn(6, 5, 16), torch.randint(0, 3, (6,))
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
        return loss

    for _ in range(3):
        if observed:
            trace, loss = observe(step, {"": model})
            trace.births_reaching(loss)
        else:
            step()
    return [*model.state_dict().values(), torch.tensor(losses), torch.get_rng_state()]


def test_observing_changes_not_a_bit():
    for a, b in zip(_train(True), _train(False)):
        assert torch.equal(a, b)


def test_the_users_exception_is_the_users():
    with pytest.raises(RuntimeError, match="size of tensor|must match"):
        observe(lambda: torch.ones(2) + torch.ones(3))


def test_own_mistakes_never_reach_the_step(monkeypatch):
    import whynan.replay.scope as module

    def broken(*args):
        raise ZeroDivisionError("ours")

    monkeypatch.setattr(module, "plan_of", broken)
    with Scope(is_user_file=lambda file: True) as scope:
        assert torch.ones(2).sum().item() == 2
    assert "ours" in scope.trace.errors[0]
