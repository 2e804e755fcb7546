"""What is a birth, what only looks like one, and what came in with the data."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from replay.observing import find, line
from whynan.replay.births import birth_from

INF = math.inf


def test_a_healthy_step_gives_no_birth():
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 2))
    optimizer = torch.optim.Adam(model.parameters())

    def step():
        loss = model(torch.randn(5, 4)).square().mean()
        loss.backward()
        optimizer.step()
        return loss

    finding, trace = find(step, {"": model})
    assert (finding.birth, finding.source, finding.state) == (None, None, "finite")
    assert not [r for r in trace.bad_records() if not r.plan.allocates]  # fresh memory holds anything
    assert {"forward", "backward", "optimizer"} <= {r.phase for r in trace.records}


def test_a_partial_mask_is_no_birth():
    def step():
        scores = torch.randn(3, 4).masked_fill(torch.eye(3, 4).bool(), -INF)
        return torch.softmax(scores, -1).sum()

    finding, trace = find(step)
    assert finding.state == "finite"
    states = {r.plan.base: r.state for r in trace.records}
    assert states["masked_fill"] == "placed" and states["_softmax"] == "absorbed"


def test_a_fully_masked_row_is_a_birth_and_says_which_row():
    def step():
        mask = torch.zeros(3, 4, dtype=torch.bool)
        mask[1] = True
        mask[0, 2] = True
        scores = torch.randn(3, 4).masked_fill(mask, -INF)
        return torch.softmax(scores, -1).sum()

    finding, trace = find(step)
    assert finding.birth.op == "aten::_softmax" and finding.kind == "nan"
    assert finding.elements.count == 4 and {i[0] for i in finding.elements.first} == {1}
    assert birth_from(finding, trace, 0, 0, batch_size=3).rows == (1,)


def test_a_placed_infinity_that_is_only_carried_is_the_answer_itself():
    def step():
        logits = torch.randn(2, 3)
        logits = logits.masked_fill(torch.tensor([[True, False, False], [False, False, False]]), -INF)  # placed
        return F.cross_entropy(logits, torch.tensor([0, 1]))

    finding, _ = find(step)
    assert finding.state == "placed" and finding.birth.site.line == line("placed") and finding.kind == "inf"


def test_additive_mask_kept_outside_the_step_is_meant():
    mask = torch.full((3, 3), -INF).triu(1)
    mask[0, 0] = -INF

    def step():
        return torch.softmax(torch.randn(3, 3) + mask, -1).sum()  # masked

    finding, _ = find(step)
    assert finding.birth.op == "aten::_softmax" and finding.birth.site.line == line("masked")


def test_infinity_in_the_data_is_a_source():
    batch = torch.randn(4, 3)
    batch[2, 1] = INF
    layer = nn.Linear(3, 2)
    finding, _ = find(lambda: layer(batch).sum())
    assert finding.birth is None and finding.state == "carried"
    assert finding.source.tensor is batch and finding.elements.first == ((2, 1),)
    assert [r.op for r in finding.path][0] == "aten::addmm"


def test_nan_in_the_data_is_carried_to_the_gradient():
    batch = torch.randn(4, 3)
    batch[1, 0] = math.nan
    layer = nn.Linear(3, 2)

    def step():
        layer(batch).sum().backward()
        return layer.weight.grad

    finding, _ = find(step)
    assert finding.birth is None and finding.source.tensor is batch


def test_masked_out_nan_is_no_answer_for_a_birth_elsewhere():
    batch = torch.tensor([math.nan, 1.0, 0.0, 2.0])

    def step():
        noise = torch.where(torch.isnan(batch), torch.zeros(4), batch)
        both = torch.cat([batch, noise])
        return both[4:].log().sum()  # true birth

    finding, _ = find(step)
    assert finding.birth.op == "aten::log" and finding.birth.site.line == line("true birth")
    assert finding.source is None and finding.elements.count == 2


def test_unrelated_bad_elements_of_an_input_do_not_hide_a_birth():
    batch = torch.tensor([[math.nan, 1.0], [0.0, 1.0]])

    def step():
        return batch.log()[1].sum()

    finding, _ = find(step)
    assert finding.birth.op == "aten::log" and finding.elements.first == ((1, 0),)


def test_of_two_births_only_the_one_that_reaches_the_loss_counts():
    def step():
        x = torch.tensor([0.0, 1.0])
        logged = x.log().max()  # never used
        return (1 / x).sum() + 0 * logged.isnan()  # used

    finding, _ = find(step)
    assert finding.birth.op == "aten::reciprocal" and finding.birth.site.line == line("used")


def test_born_in_a_slice_written_in_place():
    def step():
        table = torch.ones(4, 3)
        row = table[2]
        row.sub_(1.0)
        row.div_(row)  # in place
        return table.t().sum()

    finding, _ = find(step)
    assert finding.birth.op == "aten::div_" and finding.birth.site.line == line("in place")
    before = next(i for i in finding.birth.inputs if i.name == "self")
    assert before.value.tolist() == [0.0, 0.0, 0.0], "inputs are shown as they were before the op"


def test_overwritten_values_are_not_blamed():
    def step():
        x = torch.zeros(3).log()
        x.copy_(torch.tensor([1.0, -1.0, 1.0]))
        return x.sqrt().sum()

    finding, _ = find(step)
    assert finding.birth.op == "aten::sqrt"


@pytest.fixture
def deterministic():
    torch.use_deterministic_algorithms(True)  # makes torch fill fresh memory with nan
    yield
    torch.use_deterministic_algorithms(False)


def test_uninitialised_memory_is_no_birth_once_written(deterministic):
    finding, _ = find(lambda: torch.empty(4).fill_(1.0).sum() + torch.empty(2).copy_(torch.ones(2)).sum())
    assert finding.state == "finite"


def test_uninitialised_memory_is_a_birth_when_read(deterministic):
    finding, trace = find(lambda: torch.empty(4).sum())  # fresh
    assert finding.uninitialised and finding.birth.op == "aten::empty" and finding.birth.site.line == line("fresh")
    assert "before anything was written" in birth_from(finding, trace, 0, 0).note


def test_only_the_unwritten_part_of_fresh_memory_is_blamed(deterministic):
    def step():
        table = torch.empty(3, 2)
        table[:2] = torch.ones(2, 2)
        return table.sum()

    finding, _ = find(step)
    assert finding.uninitialised and finding.elements.first == ((2, 0), (2, 1))


def test_values_moved_as_bytes_are_followed():
    def step():
        target, source = torch.ones(2), torch.zeros(2).log()
        target.untyped_storage().copy_(source.untyped_storage())
        return target.sum()

    finding, _ = find(step)
    assert finding.birth.op == "aten::log"
