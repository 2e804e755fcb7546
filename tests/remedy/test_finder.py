# ruff: noqa: E501  (snippets are read best on few lines)
"""From a birth to expressions: by columns, by op, through assignments, callers, callees and what feeds a loader."""

from __future__ import annotations

import ast

import pytest

from whynan.case.facts import Birth, TensorFacts
from whynan.remedy import finder, flow, loops, optimizers
from whynan.remedy.emits import born_in, node_op, plain
from whynan.remedy.form import form, seen
from whynan.remedy.kinds import counts, kind, nonnegative
from whynan.remedy.source import Source

HEAD = "import numpy as np\nimport torch\nimport torch.nn.functional as F\n"


def birth(
    source: Source, text: str, op: str = "aten::log", phase: str = "forward", columns: bool = False, **kw
) -> Birth:
    start = source.data.index(text.encode())
    line = source.data[:start].count(b"\n") + 1
    column = start - source.starts[line - 1]
    where = {"column": column, "end_column": column + len(text.encode()), "end_line": line} if columns else {}
    node = op if "Backward" in op else None
    return Birth(step=0, iteration=0, phase=phase, kind="nan", op=op, autograd_node=node, line=line, **where, **kw)


def texts(source: Source, found: Birth, below: float = 9.0) -> list[str]:
    return [source.segment(s.form.node) for s in finder.sites(source, found) if s.distance < below]


@pytest.mark.parametrize(
    ("op", "name"),
    [("aten::_foreach_addcdiv_.ScalarList", "addcdiv"), ("aten::log", "log"), ("aten::_to_copy", "copy")],
)
def test_plain_names(op, name):
    assert plain(op) == name


def test_autograd_nodes():
    assert node_op("LinalgSvdBackward0") == "linalg_svd"
    assert node_op("SqrtBackward0") == "sqrt"
    assert "kl_div" in born_in(
        Birth(step=0, iteration=0, phase="backward", kind="nan", op="aten::div", autograd_node="XlogyBackward0")
    )


def test_columns_choose_among_two_on_a_line():
    source = Source(HEAD + "def f(a, b):\n    return torch.log(a) + torch.log(1 - b)\n")
    found = birth(
        source,
        "torch.log(1 - b)",
        columns=True,
        inputs=(TensorFacts(name="self", shape=(3,), dtype="float32", device="cpu", numel=3),),
    )
    first = finder.sites(source, found)[0]
    assert source.segment(first.form.node) == "torch.log(1 - b)" and first.exact and first.facts


def test_without_columns_every_match_is_a_suspect():
    source = Source(HEAD + "def f(a, b):\n    return torch.log(a) + (1 - b).log()\n")
    assert texts(source, birth(source, "torch.log"), 0.1) == ["torch.log(a)", "(1 - b).log()"]


def test_columns_with_other_alphabets_and_several_lines():
    source = Source(
        HEAD + "def f(größe):\n    x = (\n        größe.exp()\n    ) / größe.exp().sum()  # 速度\n    return x\n"
    )
    found = birth(source, "größe.exp()", "aten::exp", columns=True)
    assert texts(source, found, 0.1) == ["größe.exp()"]


def test_the_search_follows_callers_callees_and_attributes():
    source = Source(
        HEAD + "class M:\n    def __init__(self):\n        self.eps = float(np.log(3))\n\n    def scale(self, n):\n"
        "        return 1 / n\n\n    def use(self, x):\n        w = self.scale(len(x) - 1)\n        return torch.exp(w * self.eps)\n"
    )
    found = texts(source, birth(source, "torch.exp", "aten::exp"))
    assert found[0] == "torch.exp(w * self.eps)"
    assert "1 / n" in found and "np.log(3)" in found and "len(x) - 1" in found


def test_data_births_lead_to_the_dataset():
    source = Source(
        HEAD
        + "class D:\n    def __getitem__(self, i):\n        return np.log(self.x[i])\n\n\nfor x in loader(D()):\n    step(x)\n"
    )
    assert "np.log(self.x[i])" in texts(source, birth(source, "for x in", "", "data"))


def test_optimizer_births_lead_to_the_schedule():
    source = Source(
        HEAD
        + "def rate(it):\n    return 1 / (it - 3)\n\n\nfor it in range(9):\n    for group in optimizer.param_groups:\n"
        "        group['lr'] = rate(it)\n    optimizer.step()\n"
    )
    assert "1 / (it - 3)" in texts(source, birth(source, "optimizer.step()", "aten::mul_", "optimizer"))


def test_definitions_prefer_silence():
    source = Source("def f(flag):\n    a = 1\n    if flag:\n        a = 2\n    b = a\n    c = b\n    return c\n")
    names = {n.id: n for n in ast.walk(source.tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    assert flow.definition(source, names["a"]) is None
    assert source.segment(flow.definition(source, names["c"])) == "b"
    assert seen(source, form(source, names["c"])).value == "a"


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("torch.exp(x)", "tensor"),
        ("np.log(3)", "numpy"),
        ("len(y) - 1", "number"),
        ("x.size(0)", "number"),
        ("x.shape[1] * 2", "number"),
        ("torch.rand(3).sum() / 2", "tensor"),
        ("z", "unknown"),
        ("loss.item()", "number"),
        ("counted(z)", "tensor"),
    ],
)
def test_kinds(expression, expected):
    source = Source(
        HEAD + f"def counted(v):\n    return torch.bincount(v)\n\n\ndef f(x, y, z, loss):\n    return {expression}\n"
    )
    assert kind(source, form(source, source.tree.body[-1].body[0].value)) == expected


@pytest.mark.parametrize(
    ("expression", "count", "never"),
    [
        ("lengths[:, None]", True, False),
        ("(labels != -100).sum()", True, True),
        ("mask.sum(1)", True, True),
        ("x.sum()", False, False),
        ("x.pow(2).sum()", False, True),
        ("x.norm(dim=1)", False, True),
        ("a * a + b ** 2", False, True),
        ("a - b", False, False),
        ("torch.bincount(y).float()", True, True),
    ],
)
def test_counts_and_signs(expression, count, never):
    source = Source(HEAD + f"r = {expression}\n")
    value = form(source, source.tree.body[-1].value)
    assert counts(source, value) is count
    assert nonnegative(source, value) is never


def test_optimizers_and_loops():
    source = Source(
        HEAD
        + "def train(model, opt, loader, sched):\n    for epoch in range(3):\n        for i, (x, y) in enumerate(loader):\n"
        "            opt.step()\n            sched.step()\n\n\nmodel = object()\ntrain(model, torch.optim.SGD(model.parameters(), 0.1), [], None)\n"
    )
    (step,) = optimizers.steps(source)
    assert step.optimizer == "opt"
    assert optimizers.parameters(source, step) == "[p for g in opt.param_groups for p in g['params']]"
    (loop,) = loops.training_loops(source)
    assert loop.names == ("x", "y")
