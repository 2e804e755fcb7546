"""Live forms that do the same as their patch: the very numbers of the patched program."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from torch import nn

from whynan.diagnose.counterfactuals import other_optimizer, schedule
from whynan.diagnose.counterfactuals.base import clip
from whynan.diagnose.counterfactuals.memory import Zeroed
from whynan.diagnose.counterfactuals.precision import _bfloat16_autocast


def trained(make, around=None, steps=6, parts=1) -> list[torch.Tensor]:
    """Parameters after some steps of one small problem, with an attempt's context around each."""
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    optimizer = make(model.parameters())
    inquest = SimpleNamespace(optimizers=[optimizer])
    attempt = around(inquest) if around is not None else None
    data = torch.Generator().manual_seed(1)
    for index in range(steps):
        with attempt.around(index) if attempt is not None else torch.enable_grad():
            optimizer.zero_grad()
            for _ in range(parts):
                loss = model(torch.randn(8, 3, generator=data) * 10).pow(2).mean()
                (loss if attempt is not None else loss / parts).backward()
            optimizer.step()
    return [p.detach() for p in model.parameters()]


def same(a, b) -> bool:
    return all(torch.allclose(x, y, rtol=1e-5, atol=1e-7) for x, y in zip(a, b))


def test_adam_in_the_place_of_sgd_takes_the_steps_of_adam():
    def sgd(p):
        return torch.optim.SGD(p, lr=0.5, momentum=0.9, weight_decay=0.1, nesterov=True)

    there = trained(sgd, lambda inquest: other_optimizer.adam_instead(inquest, None, 0))
    assert same(there, trained(lambda p: torch.optim.Adam(p, lr=1e-3)))
    assert not same(there, trained(sgd))


def test_the_options_of_sgd_are_back_after_each_step():
    kept = []

    def sgd(p):
        kept.append(torch.optim.SGD(p, lr=0.5, momentum=0.9))
        return kept[-1]

    trained(sgd, lambda inquest: other_optimizer.adam_instead(inquest, None, 0))
    assert kept[0].param_groups[0]["lr"] == 0.5 and kept[0].param_groups[0]["momentum"] == 0.9


def test_the_mean_of_parts_is_the_loss_divided_by_their_number():
    def sgd(p):
        return torch.optim.SGD(p, lr=1e-3)

    def around(inquest):
        inquest.step = 10
        inquest.watcher = SimpleNamespace(sentinel=SimpleNamespace(backwards=40))
        return other_optimizer.mean_of_parts(inquest, None, 0)

    assert same(trained(sgd, around, parts=4), trained(sgd, parts=4))


def test_warmup_is_the_schedule_of_the_patch():
    def scheduled(p):
        optimizer = torch.optim.SGD(p, lr=0.01)
        warmup = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / 100))
        optimizer.register_step_post_hook(lambda *_: warmup.step())
        return optimizer

    there = trained(lambda p: torch.optim.SGD(p, lr=0.01), lambda inquest: schedule.warmed_up(inquest, None, 0))
    assert same(there, trained(scheduled))


def test_clip_is_clip_grad_norm():
    torch.manual_seed(0)
    a, b = nn.Linear(4, 4), nn.Linear(4, 4)
    b.load_state_dict(a.state_dict())
    for model in (a, b):
        (model(torch.ones(2, 4)) * 100).sum().backward()
    clip(list(a.parameters()))
    nn.utils.clip_grad_norm_(b.parameters(), 1.0)
    assert same([p.grad for p in a.parameters()], [p.grad for p in b.parameters()])


def test_memory_is_zeroed_when_it_is_allocated():
    with Zeroed():
        made = [torch.empty(3), torch.empty_like(torch.ones(2)), torch.ones(1).new_empty(4)]
        kept = torch.ones(2)
    assert all(bool((t == 0).all()) for t in made) and bool((kept == 1).all())


def test_float16_autocast_becomes_bfloat16_and_others_stay():
    x = torch.ones(2, 2)
    with _bfloat16_autocast():
        with torch.autocast("cpu", torch.float16):
            assert (x @ x).dtype is torch.bfloat16
        with torch.autocast("cpu", torch.float16, enabled=False):
            assert (x @ x).dtype is torch.float32
    with torch.autocast("cpu", torch.float16):
        assert (x @ x).dtype is torch.float16
