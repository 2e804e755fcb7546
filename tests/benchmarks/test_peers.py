"""Every contender of the benchmark does its job in its loop: silent while all is well, loud at a NaN."""

from __future__ import annotations

import contextlib
import importlib.util
import math

import pytest
import torch
from benchmarks.measure import Contender
from benchmarks.peers import peers
from benchmarks.programs import Program
from torch import Tensor

from whynan.watch.signals import Stop

NAMES = ["mlp", "conv", "transformer"]
EVERYBODY = ["isfinite by hand", "torch detect_anomaly", "torch DebugMode", "transformers DebugUnderflowOverflow",
             "torchlens checks", "whynan", "whynan, no warnings"]  # fmt: skip
MODULES = {"transformers DebugUnderflowOverflow": "transformers", "torchlens checks": "torchlens"}


def contender(name: str, program: Program) -> Contender:
    if name.startswith("whynan"):
        return Contender(name, lambda: program.watched(warnings=not name.endswith("no warnings")))
    needed = MODULES.get(name)
    if needed is not None and importlib.util.find_spec(needed) is None:
        pytest.skip(f"{needed} is not installed")
    return next(c for c in peers(program)[0] if c.name == name)


def weights(program: Program) -> list[Tensor]:
    return [v.clone() for v in program.state[0].state_dict().values()]


@pytest.mark.parametrize("name", EVERYBODY)
@pytest.mark.parametrize("program", NAMES)
def test_silent_while_all_is_well_and_the_training_is_the_same(name: str, program: str) -> None:
    results = []
    for watched in (False, True):
        trained = Program(program)
        around = contender(name, trained).around if watched else trained.bare
        torch.manual_seed(1)
        with around() as train:
            train(3)
        results.append(weights(trained))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize("name", EVERYBODY)
@pytest.mark.parametrize("program", NAMES)
def test_loud_at_a_nan(name: str, program: str) -> None:
    trained = Program(program)
    with contender(name, trained).around() as train:
        train(2)
        with torch.no_grad():
            next(iter(trained.state[0].parameters())).view(-1)[0] = math.nan
        with pytest.raises((Exception, Stop)):
            train(2)
    with contextlib.suppress(KeyError):
        assert trained.watches[("warnings", True),].report is not None


def test_nothing_is_left_behind() -> None:
    trained = Program("mlp")
    hooks = torch.autograd.backward, torch.optim.Optimizer.__init__
    for name in EVERYBODY:
        with contextlib.suppress(pytest.skip.Exception), contender(name, trained).around() as train:
            train(1)
    assert hooks == (torch.autograd.backward, torch.optim.Optimizer.__init__)
    assert not any(module._forward_hooks for module in trained.state[0].modules())
    assert not any(p._post_accumulate_grad_hooks for p in trained.state[0].parameters())
