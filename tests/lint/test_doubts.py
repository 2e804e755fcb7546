"""Findings that rest on data: reported where the file is a program that shows it, or where they are asked for."""

from __future__ import annotations

import pytest

from whynan.lint import Settings, lint_text

MEAN = """import torch

def loss(x, labels):
    chosen = labels > 0
    return x[chosen].mean()
"""
LOOP = """
model = torch.nn.Linear(2, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for x, labels in data():
    optimizer.zero_grad()
    loss(model(x), labels).backward()
    optimizer.step()
"""
LIGHTNING = """
class Task(L.LightningModule):
    def training_step(self, batch, i):
        return loss(self.net(batch[0]), batch[1])
if __name__ == "__main__":
    L.Trainer().fit(Task())
"""
FORMULA = "\ndef other(z):\n    return torch.log(torch.softmax(z, -1))\n"


def codes(text: str, settings: Settings | None = None) -> list[str]:
    return [finding.code for finding in lint_text(text, settings=settings)]


@pytest.mark.parametrize("rest", [LOOP, LIGHTNING])
def test_a_program_shows_its_data(rest: str) -> None:
    assert codes(MEAN) == [] and codes(MEAN + rest) == ["WN510"]


def test_a_formula_needs_no_data() -> None:
    assert codes(MEAN + FORMULA) == ["WN102"]


@pytest.mark.parametrize(
    ("settings", "reported"),
    [
        (Settings(preview=True), True),
        (Settings(extend_select=("WN510",)), True),
        (Settings(select=("mean-of-selection",)), True),
        (Settings(select=("WN5",)), False),
        (Settings(extend_select=("WN509",)), False),
    ],
)
def test_doubtful_findings_are_asked_for_by_name(settings: Settings, reported: bool) -> None:
    assert ("WN510" in codes(MEAN, settings)) is reported


IGNORED = """import torch

def z_loss(z, labels, ignore_index):
    mask = labels {test}
    return (z * mask).sum() / mask.sum()
"""


@pytest.mark.parametrize(("test", "reported"), [("!= ignore_index", True), ("!= -100", True), ("> 3", False)])
def test_ignored_targets_are_expected_by_any_loss(test: str, reported: bool) -> None:
    assert codes(IGNORED.format(test=test)) == (["WN306"] if reported else [])


NORM = "import torch\n\ndef {name}(x, y):\n    {line}\n    return x / x.norm(dim=-1, keepdim=True)\n"


@pytest.mark.parametrize(
    ("name", "line", "reported"),
    [
        ("l2_normalize", "pass", True),
        ("frames", "pass", False),
        ("pearson", "x = x - x.mean()", True),
        ("embed", "x = torch.relu(x)", True),
    ],
)
def test_a_function_that_normalizes_takes_any_vector(name: str, line: str, reported: bool) -> None:
    assert codes(NORM.format(name=name, line=line)) == (["WN305"] if reported else [])


STEP = """import torch

class {base}Thing(torch.nn.{kind}):
    def forward(self, x, y):
        return torch.sqrt(((x - y) ** 2).sum())
"""


def test_what_optimizers_compute_is_not_differentiated() -> None:
    text = STEP.format(base="Loss", kind="Module")
    assert codes(text) == ["WN202"]
    assert [f.code for f in lint_text(text, "lib/optim/thing.py")] == []
    stepping = LOOP + "\ndef distance(x, y):\n    return torch.sqrt(((x - y) ** 2).sum())\n"
    own = "\nclass Mine(torch.optim.Optimizer):\n    pass\n"
    assert codes("import torch\n" + stepping) == ["WN202"]
    assert codes("import torch\n" + stepping + own) == []


SPLIT = """import torch

def loss(z, i):
    probs = torch.softmax(z, dim=-1)
    taken = (
        torch.index_select(probs, 0, i)
        .gather(1, i.unsqueeze(1))
        .view(-1)
    )
    return taken.log()
"""


def test_a_part_that_does_not_parse_alone_is_no_fix() -> None:
    (finding,) = lint_text(SPLIT)
    assert finding.code == "WN102" and not finding.fixable
