"""One step: layers, initialization, edges, targets, settings; by `whynan.check`."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from whynan.errors import UsageError
from whynan.preflight.check import check


class Deep(nn.Module):
    def __init__(self, std: float | None, depth: int = 12) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(64, 64) for _ in range(depth))
        self.norm = nn.BatchNorm1d(64)
        for layer in self.layers:
            if std is not None:
                nn.init.normal_(layer.weight, std=std)
            else:
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(x)
        for layer in self.layers:
            x = torch.relu(layer(x))
        return x


def kinds(answer):
    return {p.kind: p for p in answer.problems}


BATCH = (torch.randn(32, 64, generator=torch.Generator().manual_seed(0)), torch.zeros(32, 64))


def test_exploding_and_sound_initialization() -> None:
    torch.manual_seed(0)
    bad, good = check(Deep(1.0), BATCH, F.mse_loss), check(Deep(None), BATCH, F.mse_loss)
    problem = kinds(bad)["exploding-layers"]
    assert problem.where.endswith("to layers.11") and "as recommended" in problem.measured
    assert "kaiming" in problem.remedy
    assert bad.layers[-1].std_recommended < 10 < bad.layers[-1].activation_std
    assert "exploding-layers" not in kinds(good) and good.verdict == "ready"
    assert all(layer.gradient_norm is not None for layer in good.layers)


def test_nothing_of_the_users_is_changed() -> None:
    torch.manual_seed(3)
    model = Deep(None)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    check(model, BATCH, F.mse_loss)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters()) and model.training
    assert not any(module._forward_hooks for module in model.modules())


def test_operands_close_to_an_edge() -> None:
    model = nn.Linear(1, 2, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[60.0], [0.0]]))  # probabilities down to exp(-60) = 9e-27
    batch = (torch.ones(8, 1), torch.zeros(8, dtype=torch.long))

    def unsafe(out: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return -torch.log(torch.softmax(out, -1)).mean()

    def guarded(out: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return -torch.log(torch.softmax(out, -1).clamp(min=1e-8)).mean()

    found = kinds(check(model, batch, unsafe))
    assert found["close-to-edge"].file == __file__ and "torch.log" in found["close-to-edge"].message
    assert "close-to-edge" not in kinds(check(model, batch, guarded))
    assert "close-to-edge" not in kinds(check(model, batch, F.cross_entropy))


def test_a_step_that_fails_at_once() -> None:
    model = nn.Linear(4, 1)
    found = kinds(check(model, (torch.zeros(8, 4), torch.zeros(8, 1)), lambda out, y: torch.log(out * 0).sum()))
    assert found["nonfinite-at-once"].severity == "error" and "aten::log" in found["nonfinite-at-once"].message


@pytest.mark.parametrize(
    ("target", "kind"),
    [(torch.full((8,), -100), "all-targets-ignored"), (torch.tensor([0, 1, 2, -100, 1, 0, 2, 1]), None)],
)
def test_targets(target: torch.Tensor, kind: str | None) -> None:
    found = kinds(check(nn.Linear(4, 3), (torch.randn(8, 4), target), F.cross_entropy))
    assert (kind in found) if kind else not {"all-targets-ignored", "target-out-of-range"} & set(found)


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"eps": 0.0}, "eps-zero"),
        ({"betas": (0.9, 0.999), "weight_decay": 0.0}, None),
        ({"lr": 5.0}, "large-rate"),
        ({"lr": 1e-3, "maximize": True}, "maximizes"),
    ],
)
def test_settings(options: dict, kind: str | None) -> None:
    model = nn.Linear(4, 1)
    optimizer = torch.optim.Adam(model.parameters(), **options)
    found = kinds(check(model, (torch.randn(8, 4), torch.randn(8, 1)), F.mse_loss, optimizer=optimizer))
    assert set(found) == ({kind} if kind else set())


def test_eps_that_vanishes_in_half_precision() -> None:
    model = nn.Linear(4, 1).half()
    optimizer = torch.optim.Adam(model.parameters(), eps=1e-8)
    batch = (torch.randn(8, 4).half(), torch.randn(8, 1).half())
    assert "eps-vanishes" in kinds(check(model, batch, F.mse_loss, optimizer=optimizer))


def test_headroom_in_half_precision() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 1))
    with torch.no_grad():
        model[0].weight.fill_(5e4)
    answer = check(model, (torch.ones(8, 4), torch.zeros(8, 1)), F.mse_loss)
    assert [h.float16 for h in answer.headroom] == ["overflows", "overflows"]
    assert {h.bfloat16 for h in answer.headroom} == {"fits"}


def test_bad_input_gets_a_clear_error() -> None:
    with pytest.raises(UsageError, match="no parameters"):
        check(nn.ReLU(), BATCH, F.mse_loss)
    with pytest.raises(UsageError, match="returned str"):
        check(nn.Linear(64, 64), BATCH, lambda out, y: "loss")  # type: ignore[arg-type, return-value]


def test_batches_of_the_loader_are_tried() -> None:
    model = nn.Linear(4, 1)
    x, y = torch.randn(64, 4), torch.ones(64, 1)
    y[41] = 0
    loader = [(x[i : i + 8], y[i : i + 8]) for i in range(0, 64, 8)]

    def mape(out: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return ((out - target) / target).abs().mean()  # relative

    answer = check(model, loader[0], mape, loader=loader)
    found = kinds(answer)["batch-fails"]
    line = next(i for i, text in enumerate(Path(__file__).read_text().splitlines(), 1) if text.endswith("# relative"))
    assert (answer.tried, found.line, "batch 5" in found.message) == (9, line, True)
    assert "1 of 9 batches" in found.measured and answer.samples == 64


def test_missing_values_that_the_program_deals_with_are_a_note() -> None:
    x = torch.randn(64, 4)
    x[::3, 2] = float("nan")
    loader = list(x.split(8))

    def masked(model: nn.Module, batch: torch.Tensor) -> torch.Tensor:
        return model(torch.nan_to_num(batch)).square().mean()

    def plain(model: nn.Module, batch: torch.Tensor) -> torch.Tensor:
        return model(batch).square().mean()

    assert kinds(check(nn.Linear(4, 1), loader[0], masked, loader=loader))["nan-in-column"].severity == "note"
    answer = check(nn.Linear(4, 1), loader[0], plain, loader=loader)
    assert kinds(answer)["nan-in-column"].severity == "error" and "nonfinite-at-once" in kinds(answer)


def test_indices_and_targets_over_all_data() -> None:
    ids, y = torch.randint(0, 10, (64, 3)), torch.randint(0, 3, (64,))
    ids[60, 1], y[50] = 12, 3
    table = nn.Sequential(nn.Embedding(10, 4), nn.Flatten(), nn.Linear(12, 3))
    loader = [(ids[i : i + 8], y[i : i + 8]) for i in range(0, 64, 8)]
    found = kinds(check(table, loader[0], F.cross_entropy, loader=loader))
    assert (found["index-out-of-range"].measured, found["index-out-of-range"].samples) == (
        "indices from 0 to 12",
        (60,),
    )
    assert (found["target-out-of-range"].measured, found["target-out-of-range"].samples) == (
        "targets from 0 to 3",
        (50,),
    )


@pytest.mark.parametrize(
    "loss", [F.binary_cross_entropy_with_logits, lambda o, y: F.binary_cross_entropy(o.sigmoid(), y)]
)
def test_probabilities_out_of_range(loss) -> None:
    with_two = torch.tensor([[0.0], [1.0], [2.0], [1.0]])
    try:
        found = kinds(check(nn.Linear(4, 1), (torch.randn(4, 4), with_two), loss))
    except RuntimeError as error:
        assert "between 0 and 1" in str(error)  # torch's own check
    else:
        assert found["target-out-of-range"].measured == "targets from 0 to 2"


def test_ctc_targets_that_are_too_long() -> None:
    lengths = torch.tensor([6, 6, 2])

    def ctc(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
        logits = model(x).log_softmax(-1)
        return F.ctc_loss(logits, torch.ones(3, 4, dtype=torch.long), lengths, torch.tensor([2, 3, 4]))

    found = kinds(check(nn.Linear(4, 5), torch.randn(6, 3, 4), ctc))
    assert (
        found["ctc-input-too-short"].samples == (2,) and "4 labels in 2 frames" in found["ctc-input-too-short"].measured
    )


def test_the_answer_shows_itself() -> None:
    answer = check(nn.Linear(4, 1), (torch.full((8, 4), float("nan")), torch.zeros(8, 1)), F.mse_loss)
    text = str(answer)
    assert text.startswith("whynan check: ") and "inputs, columns 0, 1, 2, 3" in text and "\x1b" not in text
    assert "<iframe" in answer._repr_html_() and "srcdoc" in answer._repr_html_()


def test_the_public_name() -> None:
    import whynan

    assert whynan.check is check
