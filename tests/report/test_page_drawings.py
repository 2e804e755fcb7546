"""What the page draws: series, axes, the story of the value, histograms, heat maps. Geometry only, no HTML."""

from __future__ import annotations

import math
from typing import Any

import pytest

from whynan.case.facts import Batch, Histogram, Layers, PathStep
from whynan.report.page import plot as plots
from whynan.report.page.bars import HEIGHT, WIDTH, bars
from whynan.report.page.diagram import drawing
from whynan.report.page.heat import MOST_COLUMNS, MOST_ROWS, heat
from whynan.report.page.scale import scaled, ticks
from whynan.report.page.series import BUCKETS, Series, series
from whynan.report.page.strips import MOST_SQUARES, MOST_TENSORS, shown, strips


def one(*values: Any, name: str = "loss", dtype: str | None = None, **others: list[Any]) -> Series:
    (made,) = series({name: list(values), **others}, dtype)
    return made


def plot(*values: Any, **others: list[Any]) -> plots.Plot:
    made = one(*values, **others)
    return plots.plot(made, plots.ends_of([made]))


def test_nan_breaks_the_line_and_stands_at_the_edge() -> None:
    drawn = plot(1.0, 2.0, math.nan, 3.0, math.inf, 4.0, 5.0, -math.inf, None)
    assert len(drawn.lines) == 2 and len(drawn.dots) == 1
    assert [glyph.kind for glyph in drawn.glyphs] == ["NaN", "Inf", "-Inf"]
    nan, inf, minus = drawn.glyphs
    assert nan.y == inf.y == plots.TOP and minus.y == plots.HEIGHT - plots.BOTTOM
    assert nan.text == "NaN at step 2"


@pytest.mark.parametrize(
    "values, axis",
    [
        ([1e-3, 1e3], "log"),
        ([1.0, 50.0], "linear"),
        ([0.0, 1e-6, 1.0], "log"),
        ([-1.0, 1e3], "linear"),
        ([-1.0, 1e20], "symlog"),
    ],
)
def test_the_axis_suits_the_values(values: list[float], axis: str) -> None:
    assert one(*values).axis == axis


def test_zeros_on_a_logarithmic_axis_are_marks() -> None:
    made = one(0.0, 1e-6, 0.0, 1.0)
    assert [(mark.first, mark.kind) for mark in made.marks] == [(0.0, "0"), (2.0, "0")]


@pytest.mark.parametrize(
    "values",
    [
        [3.0],
        [3.0, 3.0],
        [0.0],
        [math.nan],
        [-1.7e308, 1.7e308],
        [5e-324, 1.7e308],
        [5e-324],
        [1.7e308, 1.79e308],
        [True, 1, "x"],
    ],
)
def test_odd_series_stay_in_the_frame(values: list[Any]) -> None:
    drawn = plot(*values)
    places = [tuple(map(float, point.split(","))) for line in drawn.lines for point in line.split()] + list(drawn.dots)
    assert all(0 <= x <= plots.WIDTH and 0 <= y <= plots.HEIGHT for x, y in places)


def test_a_nearly_constant_series_is_flat() -> None:
    (line,) = plot(0.99999921, 1.0, 0.99999949).lines
    assert len({round(float(point.split(",")[1])) for point in line.split()}) == 1


def test_what_was_not_measured_breaks_no_line() -> None:
    assert len(plot(1.0, None, 2.0, None, 3.0, step=[1, 2, 3, 4, 5]).lines) == 1


def test_series_find_their_steps() -> None:
    assert one(1.0, 2.0, loss_step=[7, 8], step=[1, 2, 3]).points == ((7.0, 1.0), (8.0, 2.0))
    assert one(1.0, 2.0, step=[3, 4]).unit == "step"
    assert one(1.0, 2.0, step=[4, 3]).unit == "entry"
    assert one(1.0, 2.0, step=[1, math.nan]).unit == "entry"
    assert series({"step": [1, 2], "words": ["a"]}) == []


def test_the_known_series_come_first() -> None:
    found = series({"other": [1.0], "lr": [1.0], "loss": [1.0]})
    assert [made.title for made in found] == ["Loss", "Learning rate", "other"]


def test_the_limit_is_drawn_where_the_values_come_near() -> None:
    assert one(1.0, 3e4, name="absmax", dtype="torch.float16").limit == 65504
    assert one(1.0, 3e4, name="absmax", dtype="float32").limit is None
    assert one(1.0, 3e4, name="loss", dtype="float16").limit is None


def test_thinning_keeps_extremes_gaps_and_ends() -> None:
    values: list[float] = [math.sin(i / 50) for i in range(20_000)]
    values[7_001], values[12_345], values[15_000] = 9.0, -9.0, math.nan
    points = dict(one(*values).points)
    assert len(points) <= 4 * BUCKETS
    assert points[7_001.0] == 9.0 and points[12_345.0] == -9.0 and points[15_000.0] is None
    assert 0.0 in points and 19_999.0 in points


def test_many_bad_values_become_few_marks_with_counts() -> None:
    marks = one(*([math.nan, 1.0] * 20_000)).marks
    assert len(marks) <= BUCKETS + 1 and sum(mark.count for mark in marks) == 20_000


def test_ticks_tell_neighbours_apart() -> None:
    assert [text for _, text in ticks(63.34, 63.46)] == ["63.35", "63.40", "63.45"]
    assert [text for _, text in ticks(-3.2, 2.1, "log")] == ["10⁻²", "10⁰", "10²"]
    assert [text for _, text in ticks(-9, 9, "symlog", 3)] == ["-10⁶", "0", "10⁶"]
    assert scaled(-99.0, "symlog") == -2.0


# the story -------------------------------------------------------------------------------------------------------


def path(*inputs: tuple[int, ...], born: int = 0) -> tuple[PathStep, ...]:
    return tuple(
        PathStep(op=f"op{i}", state="born" if i == born else "finite", inputs=read) for i, read in enumerate(inputs)
    )


def test_a_chain_runs_downwards() -> None:
    drawn = drawing(path((), (), ()), folded=False)
    assert len({box.x for box in drawn.boxes}) == 1
    assert [box.y for box in drawn.boxes] == sorted({box.y for box in drawn.boxes})
    assert len(drawn.edges) == 2


def test_a_residual_gets_a_lane_and_branches_stand_side_by_side() -> None:
    drawn = drawing(path((), (0,), (0,), (1, 2, 0)), folded=False)
    _, left, right, end = drawn.boxes
    assert left.y == right.y and left.x != right.x
    assert end.y > left.y and end.x == left.x
    lanes = [edge for edge in drawn.edges if "H" in edge.d]
    assert len(lanes) == 1 and len(drawn.edges) == 5
    assert len({edge.tip for edge in drawn.edges}) == 5, "edges that meet stay apart"


def test_no_two_boxes_overlap() -> None:
    inputs = [tuple({max(0, i - 1), i // 2, i // 3} - {i}) for i in range(40)]
    boxes = drawing(path(*inputs), folded=False).boxes
    assert len({(box.x, box.y) for box in boxes}) == 40


def test_a_constant_stands_beside_its_reader() -> None:
    drawn = drawing(path((), (0,), (1,), (), (2, 3)), folded=False)
    assert drawn.boxes[3].y == drawn.boxes[2].y != drawn.boxes[0].y


def test_long_chains_are_folded_and_edges_follow() -> None:
    long = path(*[()] * 30, born=15)
    drawn = drawing(long, folded=True)
    assert sum(box.hidden or 1 for box in drawn.boxes) == 30
    assert sum(1 for box in drawn.boxes if box.hidden) == 2
    assert len(drawn.edges) == len(drawn.boxes) - 1
    assert len(drawing(long, folded=False).boxes) == 30


def test_bad_edges_are_bad_through_folds() -> None:
    steps = [
        PathStep(op="x", state="finite"),
        PathStep(op="x", state="born"),
        *[PathStep(op="x", state="carried")] * 28,
    ]
    drawn = drawing(tuple(steps), folded=True)
    assert any(box.hidden for box in drawn.boxes)
    assert [edge.bad for edge in drawn.edges] == [False] + [True] * (len(drawn.edges) - 1)


@pytest.mark.parametrize("bad", [(5,), (-1,), (2,)])
def test_inputs_that_make_no_sense_are_left_out(bad: tuple[int, ...]) -> None:
    assert drawing(path((), (0,), bad), folded=False).edges != ()


# histograms ------------------------------------------------------------------------------------------------------


def histogram(**facts: Any) -> Histogram:
    return Histogram(**{"name": "x", "bounds": (0.0, 1.0, 2.0, 4.0), "counts": (1, 0, 1000)} | facts)


def test_single_elements_stay_visible_and_inside() -> None:
    drawn = bars(histogram())
    assert drawn is not None
    assert [bar.height >= 3 for bar in drawn.bars] == [True, False, True]
    assert all(0 <= bar.x <= WIDTH and 0 <= bar.y <= HEIGHT for bar in drawn.bars)


def test_the_edge_and_what_is_beyond_it() -> None:
    drawn = bars(histogram(edge=2.0, beyond="above"))
    assert drawn is not None and drawn.edge is not None
    assert [bar.lost for bar in drawn.bars] == [False, False, True]
    assert drawn.edge == pytest.approx(drawn.bars[2].x, abs=1)


def test_zeros_are_lost_where_the_edge_is_zero() -> None:
    drawn = bars(histogram(axis="symlog", bounds=(0.0, 1e-6, 1.0, 10.0), zeros=1, edge=0.0, beyond="below"))
    assert drawn is not None and drawn.edge == 12
    assert [bar.lost for bar in drawn.bars] == [True, False, False]


@pytest.mark.parametrize("edge, far", [(1e9, "right"), (-1e9, "left"), (math.nan, None)])
def test_an_edge_far_away_is_pointed_at(edge: float, far: str | None) -> None:
    drawn = bars(histogram(edge=edge))
    assert drawn is not None and drawn.edge is None and drawn.far == far


@pytest.mark.parametrize(
    "facts",
    [
        {"bounds": (), "counts": ()},
        {"bounds": (0.0, 1.0)},
        {"bounds": (0.0, 0.0, 1.0, 2.0)},
        {"bounds": (0.0, 1.0, 2.0, math.inf)},
    ],
)
def test_a_histogram_that_makes_no_sense_is_not_drawn(facts: dict[str, Any]) -> None:
    assert bars(histogram(**facts)) is None


@pytest.mark.parametrize("axis", ["linear", "log", "symlog"])
def test_extreme_bounds_stay_inside(axis: str) -> None:
    drawn = bars(histogram(axis=axis, bounds=(-1.7e308, -1.0, 1e-300, 1.7e308), edge=0.5))
    assert drawn is not None and drawn.edge is not None and 0 <= drawn.edge <= WIDTH
    assert all(0 <= bar.x <= WIDTH for bar in drawn.bars)


# heat maps -------------------------------------------------------------------------------------------------------


def layers(*rows: tuple[float | None, ...]) -> Layers:
    names = tuple(f"layer{i}" for i in range(len(rows)))
    return Layers(what="gradient norm", names=names, steps=tuple(range(len(rows[0]))), values=rows)


def test_colours_go_by_decades() -> None:
    made = heat(layers((1e-4, 1.0, 1e4), (None, math.nan, 0.0)))
    assert made is not None
    assert [[cell.kind for cell in cells] for _, cells in made.rows] == [["h0", "h4", "h8"], ["none", "bad", "h0"]]


def test_weight_norms_are_coloured_by_their_change() -> None:
    made = heat(Layers(what="weight norm", names=("a", "b"), steps=(0, 1), values=((1.0, 100.0), (500.0, 500.0))))
    assert made is not None
    assert [[(cell.kind, cell.text) for cell in cells] for _, cells in made.rows] == [
        [("h0", "1"), ("h8", "100")],
        [("h0", "500"), ("h0", "500")],
    ]
    assert made.high == "100 times the first"


def test_bad_layers_and_last_steps_are_kept() -> None:
    rows = [tuple(1.0 for _ in range(200)) for _ in range(100)]
    rows[63] = (*rows[63][:-1], math.inf)
    made = heat(layers(*rows))
    assert made is not None and len(made.rows) == MOST_ROWS and len(made.steps) == MOST_COLUMNS
    assert "layer63" in [name for name, _ in made.rows] and made.layers == 100
    assert made.steps[0] == 0 and made.steps[-3:] == (197, 198, 199)
    assert dict(made.rows)["layer63"][-1].kind == "bad"


def test_no_heat_without_numbers() -> None:
    assert heat(Layers(what="weight norm", names=(), steps=(), values=())) is None


def test_samples_know_their_place_in_the_data_set() -> None:
    batch = Batch(
        name="x", shape=(3, 2), dtype="float32", row_absmax=(1.0, 2.0, 0.0), row_nonfinite=(0, 0, 2), indices=(7, 8, 9)
    )
    (strip,) = strips(batch, rows=(1,))
    assert [square.index for square in strip.squares] == [7, 8, 9]
    assert strip.squares[2].kind == "bad" and strip.squares[1].born
    assert strip.bad == "sample 2 (data set index 9)" and strip.born == "sample 1 (data set index 8)"


def test_bad_tensors_come_first_and_long_strips_are_cut() -> None:
    def batch(name: str, bad: int) -> Batch:
        return Batch(name=name, shape=(900,), dtype="float32", row_absmax=(1.0,) * 200, row_nonfinite=(bad,) * 200)

    found = shown((*(batch(f"good{i}", 0) for i in range(6)), batch("bad", 1)), ())
    assert len(found) == MOST_TENSORS and found[0][0].name == "bad"
    (strip,) = found[0][1]
    assert (len(strip.squares), strip.total) == (MOST_SQUARES, 900)
    assert strip.bad.endswith("and 188 more")
