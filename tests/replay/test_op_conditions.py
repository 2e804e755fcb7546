"""Every measured condition under which torch 2.13 turns finite numbers into non-finite ones: the scope names the op.

tests/data/op_conditions.csv was measured by execution, independently of this project: one row a condition, with the
birth op that a plain dispatch mode saw and the autograd node that anomaly hooks saw.
"""

from __future__ import annotations

import csv
import math
import re
from pathlib import Path

import pytest
import torch

from replay.op_table import ANSWERS, CALLS, ENTERED, OPTIMIZERS
from whynan.replay.scope import Scope

ROWS = list(csv.DictReader((Path(__file__).parents[1] / "data" / "op_conditions.csv").open()))


def _name(row):
    return re.sub(r"[^\w.]+", "-", f"{row['op']}-{row['dtype']}-{row['condition'][:40]}").strip("-")


def _inputs(row):
    dtype = getattr(torch, row["dtype"])
    for text in row["sample_inputs"].split("; "):
        shaped = re.fullmatch(r"tensor\(shape=(\[.*?\]),(?:const)?=(.*)\)", text)
        if text == "tensor([])":
            made = torch.empty(0, dtype=dtype)
        elif shaped:
            made = torch.full(eval(shaped[1]), float(shaped[2]), dtype=dtype)
        else:
            made = torch.tensor(eval(text, {"inf": math.inf, "nan": math.nan}), dtype=dtype)
        yield made.requires_grad_()


def _call(row):
    call = CALLS[row["op"]]
    return next(c for text, c in call if text in row["condition"]) if isinstance(call, list) else call


def _fits(key, row):
    op, _, text = key.partition("|")
    return op == row["op"] and text in row["condition"]


def _mine(file):
    return file.endswith(("op_table.py", "test_op_conditions.py"))


@pytest.mark.parametrize("row", [r for r in ROWS if r["direction"] != "optimizer"], ids=_name)
def test_names_the_birth(row):
    inputs = list(_inputs(row))
    entered = any(not bool(torch.isfinite(x).all()) for x in inputs)
    with Scope(is_user_file=_mine) as scope:
        output = _call(row)(*inputs)
        if row["direction"] == "backward":
            output.sum().backward()
    symptoms = [output] if row["direction"] == "forward" else [i.grad for i in inputs if i.grad is not None]
    findings = [f for f in map(scope.trace.births_reaching, symptoms) if f.state != "finite"]
    assert scope.trace.errors == []
    answer = next((a for key, (a, _) in ANSWERS.items() if _fits(key, row)), None)
    if entered and not row["birth_aten_op"] and answer is None:
        assert findings[0].source is not None and findings[0].state == "carried"
        return
    expected = answer or row["birth_aten_op"]
    finding = next((f for f in findings if f.birth is not None and f.birth.op == expected), None)
    assert finding is not None, f"expected {expected}, found {[f.birth or f.source for f in findings]}"
    if row["autograd_node"]:
        assert row["autograd_node"] in {r.node for r in [finding.birth, *finding.path]}
    assert finding.birth.site.file.endswith(("op_table.py", "test_op_conditions.py"))


def _optimizer(row):
    return next(found for key, found in OPTIMIZERS.items() if _fits(key, row))


@pytest.mark.parametrize("row", [r for r in ROWS if r["direction"] == "optimizer"], ids=_name)
@pytest.mark.parametrize("foreach", [False, True], ids=["single", "foreach"])
def test_names_the_birth_in_the_optimizer(row, foreach):
    make, gradients, accepted = _optimizer(row)
    parameter = torch.nn.Parameter(torch.ones(2, dtype=getattr(torch, row["dtype"])))
    optimizer = make([parameter])
    optimizer.param_groups[0]["foreach"] = foreach
    for gradient in gradients:
        parameter.grad = torch.full_like(parameter, gradient)
        with Scope(is_user_file=_mine) as scope:
            if "clip" in row["op"]:
                torch.nn.utils.clip_grad_norm_([parameter], 1.0, foreach=foreach)
            optimizer.step()
        if not bool(torch.isfinite(parameter).all()):
            break
    assert scope.trace.errors == []
    finding = scope.trace.births_reaching(parameter)
    if accepted is ENTERED:
        assert finding.source is not None and finding.source.name.startswith(
            ("self", "grad", "end", "tensors", "tensor")
        )
        return
    assert finding.birth.phase == "optimizer"
    assert finding.birth.op.removeprefix("aten::").removeprefix("_foreach_") in accepted
    assert "optimizer.step()" in finding.birth.site.source
