"""Statistics of columns over a stream of batches, and the problems that follow from them."""

from __future__ import annotations

import math

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from whynan.preflight.data.columns import SAMPLE, Columns
from whynan.preflight.data.problems import problems
from whynan.preflight.data.scan import Scan, look_through


def scan_of(x: torch.Tensor, batch: int = 100, name: str = "x") -> Scan:
    return look_through((x[i : i + batch] for i in range(0, len(x), batch)), names={"": name})


def kinds(scan: Scan) -> dict[str, object]:
    return {problem.kind: problem for problem in problems(scan)}


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 300), st.integers(1, 4), st.integers(1, 97), st.integers(0, 2**31))
def test_statistics_do_not_depend_on_the_batches(rows: int, width: int, batch: int, seed: int) -> None:
    random = numpy.random.default_rng(seed)
    x = random.normal(random.normal(0, 100), 10.0 ** random.integers(-3, 4), (rows, width))
    x[random.random((rows, width)) < 0.1] = math.nan
    columns = Columns("x", torch.from_numpy(x[:1]))
    for i in range(0, rows, batch):
        columns.add(torch.from_numpy(x[i : i + batch]), range(i, min(i + batch, rows)))
    for i, fact in enumerate(columns.facts()):
        good = x[~numpy.isnan(x[:, i]), i]
        assert (fact.count, fact.nan, fact.inf) == (rows, rows - len(good), 0)
        if len(good):
            assert fact.min == good.min() and fact.max == good.max()
            assert fact.mean == pytest.approx(good.mean(), rel=1e-9, abs=1e-9)
            assert fact.std == pytest.approx(good.std(), rel=1e-6, abs=1e-9)
            assert rows > SAMPLE or fact.median == pytest.approx(torch.from_numpy(good).median().item())


def test_channels_are_columns_and_rows_are_samples() -> None:
    x = torch.randn(40, 3, 8, 8)
    x[7, 1, 2, 2] = math.inf
    scan = scan_of(x, 16)
    assert [fact.inf for fact in scan.tensors["x"].facts()] == [0, 1, 0]
    problem = kinds(scan)["inf-in-column"]
    assert (problem.where, problem.samples) == ("x, column 1", (7,))


def test_ordinary_data_have_no_problem() -> None:
    torch.manual_seed(0)
    assert problems(scan_of(torch.randn(5000, 6))) == []
    assert problems(scan_of(torch.rand(500, 3, 8, 8))) == []
    assert problems(look_through([torch.randint(0, 10, (64,)) for _ in range(20)], names={"": "target"})) == []


def test_the_rows_of_what_is_wrong() -> None:
    torch.manual_seed(0)
    x = torch.randn(3000, 6) * torch.tensor([1.0, 1e5, 1e-2, 1.0, 1.0, 1.0]) + 1
    x[1234, 0] = math.nan
    x[77, 3] = 1e6
    x[::100, 4] = -999.0
    x[5] = x[2500]
    x[9] = 0
    found = kinds(scan_of(x))
    assert found["nan-in-column"].samples == (1234,) and found["nan-in-column"].severity == "error"
    assert found["outlier"].samples == (77,) and found["outlier"].where == "x, column 3"
    assert found["missing-value-code"].where == "x, column 4" and "-999" in found["missing-value-code"].message
    assert found["duplicates"].samples == (5, 2500)
    assert found["zero-rows"].samples == (9,)
    assert "x, column 1" in found["scale-differences"].measured


def test_columns_without_values_and_constants() -> None:
    x = torch.randn(200, 3)
    x[:, 1], x[:, 2] = math.nan, 4.0
    found = kinds(scan_of(x))
    assert found["nan-column"].where == "x, column 1" and "x[:, keep]" in found["nan-column"].remedy
    assert found["constant-column"].where == "x, column 2"


def test_types_that_overflow_when_cast() -> None:
    x = torch.randn(100, 2, dtype=torch.float64)
    x[3, 0], x[4, 1] = 1e300, 1e6
    found = kinds(scan_of(x))
    assert found["overflows-when-cast"].where == "x, column 0"
    assert kinds(scan_of(x.float().clamp(-1e6, 1e6) * 100))["overflows-in-half"].severity == "note"


def test_lengths_of_zero() -> None:
    lengths = torch.arange(100) % 7
    batches = [{"text": torch.randn(100, 2), "lengths": lengths}]
    found = kinds(look_through(batches))
    assert found["zero-length"].where == "batch['lengths']" and found["zero-length"].measured == "15 of 100"


def test_imputation_code_does_what_it_says() -> None:
    """The remedy's own code, run: statistics ignore NaN, and a column without a value becomes a number."""
    x = torch.tensor([[1.0, math.nan, 5.0], [math.nan, math.nan, 7.0]])
    found = problems(scan_of(x))
    code = next(p.remedy for p in found if p.kind == "nan-in-column")
    names = {"torch": torch, "x": x, "x_train": x}
    exec(code, names)
    assert names["x"].tolist() == [[1.0, 0.0, 5.0], [1.0, 0.0, 7.0]]


def test_a_loader_that_fails_ends_the_scan() -> None:
    def broken():
        yield torch.randn(4, 2)
        raise OSError("shard 2 is truncated")

    scan = look_through(broken())
    assert scan.batches == 1 and not scan.complete and isinstance(scan.error, OSError)
