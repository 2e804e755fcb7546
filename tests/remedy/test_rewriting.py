"""Every rewriting rule keeps the value: both forms are evaluated on random inputs, and where the old one fails."""

from __future__ import annotations

import ast

import pytest
import torch

from whynan.remedy.edits import apply_edits
from whynan.remedy.rewriting import rewrites, same_where_finite
from whynan.remedy.source import Source

HEAD = "import math\nimport torch\nimport torch.nn.functional as F\n\n"
FORMULAS = [
    "torch.log(torch.softmax(x, dim=-1))",
    "x.softmax(1).log()",
    "torch.log(torch.softmax(x, dim=1) + 1e-9)",
    "torch.log(torch.sigmoid(x))",
    "torch.log(1 - torch.sigmoid(x))",
    "torch.log1p(-torch.sigmoid(x))",
    "torch.log(1 / (1 + torch.exp(-x)))",
    "torch.log(torch.exp(x).sum(dim=1))",
    "torch.log(torch.exp(x).sum())",
    "torch.log(torch.exp(x).mean(dim=1))",
    "x.exp().sum(-1, keepdim=True).log()",
    "torch.log(1 + torch.exp(x))",
    "torch.log1p(torch.exp(x))",
    "torch.log(torch.cosh(x))",
    "torch.exp(x) / torch.exp(x).sum(dim=1, keepdim=True)",
    "torch.log(torch.exp(x) / torch.sum(torch.exp(x), dim=1, keepdim=True))",
    "1 / (1 + torch.exp(-x))",
    "torch.exp(x) / (1 + torch.exp(x))",
    "(torch.exp(x) - torch.exp(-x)) / (torch.exp(x) + torch.exp(-x))",
    "x / x.norm(dim=1, keepdim=True)",
    "x / torch.sqrt((x * x).sum(dim=1, keepdim=True))",
    "torch.sqrt((x ** 2).sum(dim=1))",
    "(x - y).pow(2).sum(-1).sqrt()",
    "((x - y) ** 2).sum(dim=0) ** 0.5",
    "torch.sqrt(x.var(dim=0))",
    "torch.sqrt(x ** 2)",
    "torch.sqrt(torch.var(x, dim=0))",
    "y * torch.log(torch.sigmoid(x)) + (1 - y) * torch.log(1 - torch.sigmoid(x))",
    "(1 - y) * torch.log(1 - torch.sigmoid(x) + 1e-8) + torch.log(torch.sigmoid(x) + 1e-8) * y",
    "F.binary_cross_entropy(torch.sigmoid(x), y)",
    "F.kl_div(torch.log_softmax(y, 1), torch.softmax(x, dim=1), reduction='sum')",
    "torch.log(1 + y)",
    "torch.log(torch.diagonal(torch.exp(x[:4])) / torch.exp(x[:4]).sum(dim=1))",
    "torch.log(torch.exp(x).gather(1, (y[:, :1] > 2).long()) / torch.exp(x).sum(dim=1, keepdim=True))",
]
STABLE = [f for f in FORMULAS if "exp" in f or "log(" in f or "softmax" in f]


def both(formula):
    """(before, all afters) as callables of x and y."""
    source = Source(f"{HEAD}def f(x, y):\n    return {formula}\n")
    root = source.tree.body[-1].body[0].value
    afters = [
        apply_edits(source.text, r.edits)
        for node in ast.walk(root)
        if isinstance(node, ast.expr)
        for r in rewrites(source, node)
    ]

    def function(text):
        names: dict = {}
        exec(text, names)
        return names["f"]

    return function(source.text), [function(text) for text in afters], afters


@pytest.mark.parametrize("formula", FORMULAS)
def test_same_values(formula):
    before, afters, texts = both(formula)
    assert afters, "no rule fits"
    generator = torch.Generator().manual_seed(0)
    inputs = [
        (torch.randn(5, 4, generator=generator) * scale, torch.rand(5, 4, generator=generator))
        for scale in ((0.3, 1.0) if "1e-" in formula else (0.3, 2.0, 6.0))
    ]
    for after, text in zip(afters, texts):
        assert same_where_finite(before, after, inputs), text


@pytest.mark.parametrize(
    "formula",
    [
        f
        for f in FORMULAS
        if f not in ("torch.log(1 + y)", "x / x.norm(dim=1, keepdim=True)") and "sqrt" not in f and "0.5" not in f
    ],
)
def test_finite_where_the_old_form_is_not(formula):
    _, afters, texts = both(formula)
    x = torch.tensor([[120.0, -120.0, 300.0, 0.0], [-200.0, -1000.0, 5.0, 90.0]])
    values = [after(x, torch.full((2, 4), 0.5)) for after in afters]
    assert any(bool(torch.isfinite(v).all()) for v in values), texts


@pytest.mark.parametrize(
    "formula", ["torch.sqrt((x ** 2).sum(dim=1))", "x.pow(2).sum(-1).sqrt()", "torch.sqrt(x.var(dim=0))"]
)
def test_finite_gradient_at_zero(formula):
    _, afters, _ = both(formula)
    x = torch.zeros(3, 4, requires_grad=True)
    afters[0](x, x).sum().backward()
    assert bool(torch.isfinite(x.grad).all())


def test_check_can_fail():
    assert not same_where_finite(torch.log, torch.log1p, [(torch.rand(4),)])
    assert not same_where_finite(torch.exp, lambda x: x.exp().log().exp() * float("nan"), [(torch.rand(4),)])


@pytest.mark.parametrize(
    "text",
    [
        "p = torch.softmax(z, -1)\nif flag:\n    p = p * 2\nq = torch.log(p)\n",
        "p = torch.softmax(z, -1)\np += 1\nq = torch.log(p)\n",
        "if flag:\n    p = torch.softmax(z, -1)\nelse:\n    p = z\nq = torch.log(p)\n",
        "import numpy as np\nq = np.log(z)\n",
        "q = torch.log(p)\n",
    ],
)
def test_no_rewriting_where_the_definition_is_not_certain(text):
    source = Source(HEAD + text)
    assert not [r for node in ast.walk(source.tree) if isinstance(node, ast.expr) for r in rewrites(source, node)]


def test_a_reassigned_input_is_hoisted():
    source = Source(HEAD + "p = torch.softmax(z, -1)\nz = z + 1\nq = torch.log(p)\n")
    (rewrite,) = [r for node in ast.walk(source.tree) if isinstance(node, ast.expr) for r in rewrites(source, node)]
    assert apply_edits(source.text, rewrite.edits).endswith(
        "logits = z\np = torch.softmax(logits, -1)\nz = z + 1\nq = F.log_softmax(logits, dim=-1)\n"
    )
