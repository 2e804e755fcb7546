"""The code that problems offer, run: it does what it says, on tensors of the shapes that it is offered for."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from whynan.case.preflight import Layer
from whynan.preflight.data import remedies
from whynan.preflight.data.problems import problems
from whynan.preflight.data.scan import look_through
from whynan.preflight.recommended import KAIMING, ORTHOGONAL, TIED, XAVIER, in_code

NAN = math.nan


def run(code: str, **given: Any) -> dict[str, Any]:
    names = {"torch": torch, "nn": nn, **given}
    exec(code, names)
    return names


def uncommented(code: str) -> str:
    """The alternatives as well: a line that is commented out is code too."""
    return "\n".join(line.removeprefix("# ") for line in code.splitlines())


@pytest.mark.parametrize("template", [name for name in vars(remedies) if name.isupper()])
def test_every_remedy_runs(template: str) -> None:
    x = torch.rand(200, 4) + 0.5
    x[7, 1], x[9, 2] = NAN if "FILL" in template or template in ("IMPUTE", "DROP_NAN") else 3.0, -999.0
    code = remedies.of(getattr(remedies, template), "x", -999.0)
    for text in (code, uncommented(code)):
        after = run(text, x=x.clone(), x_train=x.clone())
        result = after.get("distance", after["x"])
        assert isinstance(result, torch.Tensor) and not result.isnan().any()


@pytest.mark.parametrize(
    ("line", "expected"),
    [(0, [1.0, 3.0, 0.0]), (1, [1.0, 2.0, 0.0]), (2, [1.0, 2.0, 0.0])],
)
def test_imputation_by_mean_median_and_mode(line: int, expected: list[float]) -> None:
    """NaN is left out of each statistic, and a column without any value becomes 0."""
    x = torch.tensor([[1.0, 2.0, NAN], [1.0, 2.0, NAN], [NAN, 5.0, NAN], [1.0, NAN, NAN]])
    lines = remedies.of(remedies.IMPUTE, "x").splitlines()
    code = "\n".join([lines[line].removeprefix("# "), *lines[3:]])
    after = run(code, x=x, x_train=x)["x"]
    assert (after[2, 0].item(), after[3, 1].item(), after[0, 2].item()) == pytest.approx(tuple(expected))
    assert after[0, :2].tolist() == [1.0, 2.0]


def test_what_problems_offer_mends_the_data() -> None:
    torch.manual_seed(0)
    x = torch.randn(2000, 5) * torch.tensor([1.0, 1.0, 1.0, 1.0, 1e5])
    x[5, 0], x[6, 1], x[::40, 2], x[8, 3] = NAN, math.inf, -999.0, 1e6
    found = {p.kind: p for p in problems(look_through(x.split(100), names={"": "x"}))}
    for kind in ("nan-in-column", "inf-in-column", "missing-value-code", "outlier", "scale-differences"):
        after = run(found[kind].remedy or "", x=x.clone(), x_train=x.clone())["x"]
        left = {p.kind for p in problems(look_through(after.split(100), names={"": "x"}))}
        if kind != "scale-differences":  # NaN makes its statistics NaN: impute first
            assert kind not in left, kind


def test_recommended_initialization_as_code() -> None:
    kinds = {"Linear": KAIMING, "Conv2d": XAVIER, "ConvTranspose2d": XAVIER, "LSTM": ORTHOGONAL, "Embedding": TIED}
    layers = tuple(Layer(name=kind, kind=kind, recommended=rule) for kind, rule in kinds.items())
    model = nn.ModuleList([nn.Linear(64, 64), nn.Conv2d(3, 8, 3), nn.ConvTranspose2d(3, 8, 3), nn.LSTM(8, 8),
                           nn.Embedding(100, 64)])  # fmt: skip
    for parameter in model.parameters():
        nn.init.constant_(parameter, 7.0)
    run(in_code(layers), model=model)
    assert model[0].weight.std().item() == pytest.approx((2 / 64) ** 0.5, rel=0.1)
    assert model[0].bias.abs().max() == 0 and model[4].weight.std().item() == pytest.approx(1 / 8, rel=0.1)
    hidden = model[3].weight_hh_l0
    assert torch.allclose(hidden.T @ hidden, torch.eye(8), atol=1e-5)
    run(in_code(()), model=nn.Sequential(nn.Linear(2, 2)))
