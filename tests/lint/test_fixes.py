"""--fix: the patch is right where it is made, made once, and nothing else changes."""

from __future__ import annotations

import pytest

from lint.pages import section
from whynan.lint import Settings, all_rules, lint_text
from whynan.lint.engine import fix_text

HEAD = "import torch\nimport torch.nn.functional as F\n\n"
RULES = list(all_rules().values())


def fixed(text: str) -> str:
    return fix_text(text, "train.py", [rule for rule in RULES if not rule.preview], settings=Settings(preview=True))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("torch.log(torch.softmax(z, dim=1))", "F.log_softmax(z, dim=1)"),
        ("torch.sigmoid(z).log()", "F.logsigmoid(z)"),
        ("torch.log(1 - torch.sigmoid(z))", "F.logsigmoid(-z)"),
        ("torch.log(1 + torch.exp(-z))", "F.softplus(-z)"),
        ("torch.log(torch.exp(z).sum(dim=1))", "torch.logsumexp(z, dim=1)"),
        ("torch.exp(z) / torch.exp(z).sum(dim=1, keepdim=True)", "F.softmax(z, dim=1)"),
        ("torch.sqrt((z ** 2).sum(dim=1))", "torch.linalg.vector_norm(z, dim=1)"),
        ("z / z.norm(dim=1, keepdim=True)", "F.normalize(z, dim=1)"),
        ("F.binary_cross_entropy(torch.sigmoid(z), y)", "F.binary_cross_entropy_with_logits(z, y)"),
        ("torch.sqrt(z.var(dim=0))", "z.std(dim=0)"),
    ],
)
def test_formula(before: str, after: str) -> None:
    text = HEAD + "def loss(z, y):\n    return {}  # keep this\n"
    assert fixed(text.format(before)) == text.format(after)


def test_nothing_is_lost_of_the_file() -> None:
    text = (
        "\ufeffimport torch\r\n\r\n# \u00e4 comment\r\ndef loss(z):\r\n\tp = torch.softmax(z, dim=1)\r\n"
        "\treturn torch.log(p)  # why\r\n\r\nx = '''\r\n  text'''"
    )
    assert fixed(text) == text.replace("torch.log(p)", "torch.log_softmax(z, dim=1)")


def test_an_implicit_dim_is_not_guessed() -> None:
    text = HEAD + "def loss(z):\n    return torch.log(F.softmax(z))\n"
    (finding,) = lint_text(text)
    assert not finding.fixable and fixed(text) == text


def test_ignored_findings_are_not_fixed() -> None:
    text = HEAD + "def loss(z):\n    return torch.log(torch.softmax(z, dim=1))  # whynan: ignore[WN102]\n"
    assert fixed(text) == text


def test_several_in_one_file() -> None:
    text = HEAD + "def loss(a, b):\n    return torch.log(torch.sigmoid(a)) + torch.log(1 - torch.sigmoid(b))\n"
    assert fixed(text) == HEAD + "def loss(a, b):\n    return F.logsigmoid(a) + F.logsigmoid(-b)\n"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.code)
def test_idempotent_and_what_is_fixable_goes_away(rule) -> None:
    text = section(rule.page, "Bad") + "\n"
    settings = Settings(extend_select=(rule.code,))
    before = lint_text(text, settings=settings)
    once = fix_text(text, "train.py", [rule], settings=settings)
    compile(once, "<fixed>", "exec")
    assert fix_text(once, "train.py", [rule], settings=settings) == once
    left = [f for f in lint_text(once, settings=settings) if f.code == rule.code]
    assert len(left) == sum(not f.fixable for f in before if f.code == rule.code)
    assert (once != text) == any(f.fixable for f in before)
