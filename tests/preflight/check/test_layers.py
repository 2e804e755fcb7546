"""Layers of many kinds: what is measured of them, and the initialization that is tried and put back."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from whynan.preflight.check import check


class Tied(nn.Module):
    """An embedding that is the output matrix as well."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(50, 16), nn.Linear(16, 50, bias=False)
        self.head.weight = self.table.weight

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(self.table(tokens)).mean(1)


class First(nn.Module):
    """The first of what a recurrent layer gives, through a matrix."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.out = inner, nn.Linear(16, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        given = (x, x, x) if isinstance(self.inner, nn.MultiheadAttention) else (x,)
        return self.out(self.inner(*given)[0]).mean(1)


class Norm(nn.Module):
    """Uses its weight without a submodule of torch's."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(16))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.weight


X = torch.randn(8, 5, 16, generator=torch.Generator().manual_seed(0))
CLASSES = torch.randint(0, 3, (8,), generator=torch.Generator().manual_seed(1))
MODELS = {
    "tied": (Tied, torch.randint(0, 50, (8, 5)), torch.randint(0, 50, (8,))),
    "lstm": (lambda: First(nn.LSTM(16, 16, batch_first=True)), X, CLASSES),
    "gru": (lambda: First(nn.GRU(16, 16, batch_first=True)), X, CLASSES),
    "attention": (lambda: First(nn.MultiheadAttention(16, 2, batch_first=True)), X, CLASSES),
    "transposed": (
        lambda: nn.Sequential(nn.ConvTranspose1d(5, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 3)), X, CLASSES,
    ),
    "lazy": (lambda: nn.Sequential(nn.Flatten(), nn.LazyLinear(9), nn.Tanh(), nn.LazyLinear(3)), X, CLASSES),
    "weight norm": (lambda: nn.Sequential(nn.Flatten(), parametrizations.weight_norm(nn.Linear(80, 3))), X, CLASSES),
    "spectral norm": (
        lambda: nn.Sequential(nn.Flatten(), parametrizations.spectral_norm(nn.Linear(80, 3))), X, CLASSES,
    ),
    "own": (lambda: nn.Sequential(Norm(), nn.Flatten(), nn.Linear(80, 3)), X, CLASSES),
    "bags": (lambda: nn.EmbeddingBag(50, 3), torch.randint(0, 50, (8, 4)), CLASSES),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_layers_of_all_kinds(name: str) -> None:
    torch.manual_seed(0)
    make, x, y = MODELS[name]
    model = make()
    lazy = name == "lazy"
    before = None if lazy else copy.deepcopy(model.state_dict())
    answer = check(model, (x, y), F.cross_entropy)
    assert not [p for p in answer.problems if p.severity == "error"], answer
    assert answer.layers and all(layer.activation_std is not None for layer in answer.layers)
    assert any(layer.gradient_norm for layer in answer.layers)
    assert before is None or all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


def test_recommendations() -> None:
    torch.manual_seed(0)

    def recommended(name: str) -> dict[str, str | None]:
        make, x, y = MODELS[name]
        return {layer.kind: layer.recommended for layer in check(make(), (x, y), F.cross_entropy).layers}

    assert "std=dim**-0.5" in (recommended("tied")["Embedding"] or "")
    assert "orthogonal" in (recommended("lstm")["LSTM"] or "")
    assert "kaiming" in (recommended("transposed")["ConvTranspose1d"] or "")
    assert recommended("weight norm").get("ParametrizedLinear") is None


def test_the_effect_is_measured() -> None:
    """An output matrix that is an N(0, 1) embedding has logits of the scale sqrt(dim); as recommended, of 1."""
    make, x, y = MODELS["tied"]
    torch.manual_seed(0)
    head = check(make(), (x, y), F.cross_entropy).layers[-1]
    assert head.kind == "Linear" and (head.activation_std or 0) > 3 * (head.std_recommended or 9)


def test_dead_layers_and_layers_without_gradient() -> None:
    model = nn.Sequential(nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 1))
    with torch.no_grad():
        model[0].bias.fill_(-100.0)
    found = {p.kind: p for p in check(model, (X[:, 0], X[:, 0, :1]), F.mse_loss).problems}
    assert found["dead-layer"].where == "1" and "100%" in found["dead-layer"].measured
    assert found["no-gradient"].where == "0" and found["no-gradient"].severity == "note"


def test_parameters_that_are_not_finite_at_the_start() -> None:
    model = nn.Linear(4, 2)
    with torch.no_grad():
        model.bias[1] = float("inf")
    found = {p.kind: p for p in check(model, (X[:, 0, :4], X[:, 0, :2]), F.mse_loss).problems}
    assert found["nonfinite-parameter"].where == "bias" and "1 Inf of 2" in found["nonfinite-parameter"].measured
