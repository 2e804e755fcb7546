"""Batch, layers and history of a report, from small traces and histories."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from replay.observing import observe
from whynan.replay import environment as environments
from whynan.replay.batch import ROWS, batch_of, describe
from whynan.replay.environment import VARIABLES, environment
from whynan.replay.figures import figure
from whynan.replay.layers import LAYERS, ROOT, STEPS, layers_of, relative_change
from whynan.replay.names import Names
from whynan.replay.series import LATEST, SERIES, STRETCHES, series
from whynan.watch.history import History

NAN, INF = math.nan, math.inf


# the batch -----------------------------------------------------------------------------------------------------------


def test_a_batch_by_rows_and_columns():
    table = torch.tensor([[1.0, -5.0, 0.0], [NAN, 2.0, INF]])
    made = describe("table", table, [7, 9])
    assert (made.shape, made.dtype, made.indices) == ((2, 3), "float32", (7, 9))
    assert (made.row_absmax, made.row_nonfinite) == ((5.0, 2.0), (0, 2))
    assert (made.column_absmax, made.column_nonfinite) == ((1.0, 5.0, 0.0), (1, 0, 1))


def test_images_have_channels_and_labels_have_rows_only():
    images = torch.zeros(4, 3, 5, 5)
    images[:, 2] = 8.0
    assert describe("images", images).column_absmax == (0.0, 0.0, 8.0)
    labels = describe("labels", torch.tensor([3, 1]), [1, 2, 3])
    assert labels.row_absmax == (3.0, 1.0) and labels.column_absmax == () and labels.indices == ()
    long = describe("long", torch.ones(ROWS + 5, ROWS + 9))
    assert len(long.row_absmax) == len(long.column_nonfinite) == ROWS
    assert describe("z", torch.full((2,), 3 + 4j)).row_absmax == (5.0, 5.0)
    assert describe("flags", torch.tensor([True])).row_absmax == (1.0,) and describe("m", torch.ones(0, 2)).shape == (
        0,
        2,
    )


def _run(item, nexts=(), indices=None):
    taped = SimpleNamespace(item=item, nexts=[(v, None, None) for v in nexts], indices=indices)
    return SimpleNamespace(record=SimpleNamespace(taped=lambda index: taped))


def test_the_item_of_the_loop_and_what_next_gave():
    x, y, z = torch.ones(3, 2), torch.zeros(3), torch.zeros(4)
    names = Names({})
    names.add_item((x, y), {"x": x})
    made = batch_of(_run((x, {"y": y}), [z], [4, 5, 6]), 0, names, None)
    assert [(b.name, b.indices) for b in made] == [("x", (4, 5, 6)), ("batch[1]", (4, 5, 6)), ("next 1", ())]


def test_a_batch_that_the_body_picks_from_a_data_set():
    data, model = torch.randn(50, 4), nn.Linear(4, 1)
    targets, chosen = torch.randn(50), torch.tensor([3, 1, 4])
    names = Names({"": model})
    names.add_locals({"data": data, "targets": targets})

    def step():
        out = model(data[chosen]).squeeze(1)
        loss = (out - targets[10:13]).square().mean()
        loss.backward()
        return loss

    trace, _ = observe(step)
    made = {b.name: b for b in batch_of(_run(0), 0, names, trace)}
    assert set(made) == {"data[...]", "targets[...]"}
    assert made["data[...]"].indices == (3, 1, 4) and made["data[...]"].shape == (3, 4)
    assert made["data[...]"].row_absmax == pytest.approx(data[chosen].abs().amax(1).tolist())


def test_activations_and_parameters_are_no_batch():
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 1))
    kept = {}

    def step():
        kept["x"] = torch.randn(6, 4)
        kept["hidden"] = model[:2](kept["x"])
        return model[2](kept["hidden"].detach()).sum()

    trace, _ = observe(step)
    names = Names({"": model})
    names.add_locals(kept)
    assert [b.name for b in batch_of(None, 0, names, trace)] == ["x"]


# layers --------------------------------------------------------------------------------------------------------------


def _trained(model, steps, optimizers=None):
    history = History()
    optimizers = optimizers or [torch.optim.SGD(model.parameters(), lr=0.1)]
    for step in range(steps):
        for optimizer in optimizers:
            params = optimizer.param_groups[0]["params"]
            history.grad_norms.append((step, id(optimizer), [float(step + 1)] * len(params)))
            history.param_norms.append((step, id(optimizer), [2.0**step] * len(params)))
            history.grad_extremes.append((step, id(optimizer), 0.5, 1e-3))
            history.lr.append((step, id(optimizer), [0.1]))
        history.loss.append((step + 1, step, 1.0 / (step + 1)))
    return history, optimizers


def test_layers_by_steps():
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1, bias=False))
    history, optimizers = _trained(model, 5)
    grads, weights, ratios = layers_of(history, optimizers, Names({"": model}, optimizers))
    assert (grads.what, weights.what, ratios.what) == ("gradient norm", "weight norm", "update ratio")
    assert grads.names == ("0", "2") and grads.steps == (0, 1, 2, 3, 4)
    assert grads.values[0][1] == pytest.approx(2 * math.sqrt(2)) and grads.values[1][1] == 2.0
    assert ratios.steps == (1, 2, 3, 4) and ratios.values[1] == (1.0, 1.0, 1.0, 1.0)


def test_two_models_with_the_same_names_are_told_apart():
    first, second = nn.Linear(2, 2), nn.Linear(2, 2)
    optimizers = [torch.optim.SGD(m.parameters(), lr=0.1) for m in (first, second, first)]
    history, _ = _trained(None, 2, optimizers)
    table = layers_of(history, optimizers, Names({"a": first, "b": second}, optimizers))[0]
    assert table.names == (ROOT, f"{ROOT} (2)")


def test_many_layers_keep_those_that_changed_and_those_that_are_named():
    model = nn.Sequential(*(nn.Linear(1, 1, bias=False) for _ in range(LAYERS + 20)))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    history = History()
    for step in range(STEPS + 30):
        norms = [1.0] * (LAYERS + 20)
        norms[50] = 2.0**step
        norms[51] = NAN if step > STEPS else 1.0
        history.grad_norms.append((step, id(optimizer), norms))
    (table,) = layers_of(history, [optimizer], Names({"": model}, [optimizer]), ["67", None])
    assert len(table.names) == LAYERS and {"50", "51", "67"} <= set(table.names)
    assert len(table.steps) == STEPS and all(len(row) == STEPS for row in table.values)
    assert list(table.names) == sorted(table.names, key=int)


def test_an_optimizer_nobody_knows_gives_no_table():
    history, _ = _trained(nn.Linear(1, 1), 3)
    assert layers_of(history, [], Names({})) == ()


@given(st.floats(allow_nan=False), st.floats(), st.integers(0, 3))
def test_relative_change_is_a_share_or_nothing(before, now, steps):
    found = relative_change(5, before, 5 + steps, now)
    assert found is None or steps > 0 and before > 0 and (found >= 0 or math.isnan(now))


# history -------------------------------------------------------------------------------------------------------------


def test_series_share_one_axis():
    model = nn.Linear(2, 1)
    history, _ = _trained(model, 6)
    history.loss.append((7, 6, NAN))
    made = series(history)
    assert made["step"] == list(range(7)) and {len(v) for v in made.values()} == {7}
    assert math.isnan(made["loss"][-1]) and made["grad_norm"][-1] is None
    assert made["update_ratio"][:3] == [None, 1.0, 1.0] and made["lr"][0] == 0.1
    assert made["grad_absmax"][:6] == [0.5] * 6 and made["grad_absmin"][5:] == [1e-3, None]
    assert set(made) == {"step", *SERIES} and series(History()) == {}


def test_a_bad_loss_among_the_micro_batches_of_a_step_is_the_one_told():
    history = History()
    for backward, loss in enumerate((1.0, INF, 2.0), 1):
        history.loss.append((backward, 4, loss))
    history.lr.append((4, 1, [0.1]))
    assert series(history)["loss"] == [INF]


def test_without_an_optimizer_every_backward_is_a_step():
    history = History()
    for backward in range(1, 4):
        history.loss.append((backward, 0, float(backward)))
    assert series(history) == {"step": [0, 1, 2], "loss": [1.0, 2.0, 3.0]}


@given(st.lists(st.floats(), min_size=LATEST + 200, max_size=LATEST + 300))
def test_a_long_history_is_thinned_and_keeps_what_is_telling(losses):
    history = History()
    for step, loss in enumerate(losses):
        history.loss.append((step + 1, step, loss))
        history.lr.append((step, 1, [0.1]))
    made = series(history)
    told = dict(zip(made["step"], made["loss"], strict=True))
    bad = [s for s, v in enumerate(losses) if not math.isfinite(v)]
    assert set(bad) <= set(told) and set(range(len(losses) - LATEST, len(losses))) <= set(told)
    assert len(told) <= LATEST + 3 * STRETCHES + len(bad)
    finite = [v for v in losses if math.isfinite(v)]
    if finite:
        assert {min(finite), max(finite)} <= set(told.values())


# environment ---------------------------------------------------------------------------------------------------------


def test_the_environment_says_what_changes_numbers_and_nothing_else(monkeypatch):
    for name, value in (("OMP_NUM_THREADS", "3"), ("MY_TOKEN", "secret"), ("HOME", "/home/somebody")):
        monkeypatch.setenv(name, value)
    found = environment()
    assert found["OMP_NUM_THREADS"] == "3" and found["torch"] == torch.__version__
    assert found["default dtype"] == "float32" and found["flush denormal"] == "False"
    text = " ".join((*found, *found.values()))
    assert "secret" not in text and "somebody" not in text and "/" not in text
    assert all(type(v) is str for v in found.values()) and "HOME" not in VARIABLES


def test_the_environment_of_a_program_without_torch(monkeypatch):
    monkeypatch.setattr(environments, "sys", SimpleNamespace(modules={}))
    assert set(environment()) - set(VARIABLES) == {"platform", "machine", "python"}


def test_a_figure_that_fails_leaves_a_note():
    notes: list[str] = []
    assert figure(notes, "histogram", lambda: [][0], ()) == () and figure(notes, "x", lambda: 1, 0) == 1
    assert notes == ["the histogram could not be made (IndexError: list index out of range)"]
