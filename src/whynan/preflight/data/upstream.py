"""Where bad data came from, as far as the program's variables tell: tables with NaN, and statistics that are NaN.

A mean over missing values is NaN (only `nanmean` leaves them out); what is filled in with it is as missing as before.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from whynan.case.preflight import Problem
from whynan.preflight.data.columns import KEPT, MOST
from whynan.preflight.data.scan import Scan
from whynan.preflight.data.sources import bound_before, tables, tables_of
from whynan.watch.loops import LoopRun

NANMEAN = """\
fill = np.nanmean(x, axis=0)   # torch.nanmean(x, dim=0): NaN left out; take rows of the training set only
x = np.where(np.isnan(x), fill, x)"""


def statistics(run: LoopRun, scan: Scan) -> Iterator[Problem]:
    """Variables that hold one number for each column of the data, and NaN for exactly those columns that hold NaN."""
    bad = {name: {i for i, n in enumerate(columns.nan.tolist()) if n} for name, columns in scan.tensors.items()}
    for name, value in bound_before(run).items():
        for label, numbers in tables_of(name, value):
            found = _missing(numbers)
            data = next((d for d, where in bad.items() if where and found == (where, scan.tensors[d].width)), None)
            if data is not None and label not in scan.tensors:
                columns = ", ".join(map(str, sorted(found[0])))
                yield Problem(
                    part="data", kind="nan-statistic", severity="warning", where=label,
                    message=f"is NaN for column {columns} of {data}: filling in with it fills in nothing",
                    measured="a mean, median or deviation over missing values is NaN", causes=("bad-input",),
                    remedy=NANMEAN,
                )  # fmt: skip


def bad_rows(run: LoopRun, scan: Scan) -> Iterator[str]:
    """For data whose samples have no index: the tables of the program that hold NaN or Inf, and the rows."""
    if scan.by_index or not any(columns.nonfinite for columns in scan.tensors.values()):
        return
    for label, table in tables(run).items():
        values = torch.as_tensor(table)
        if label in scan.tensors or not values.is_floating_point() or values.layout is not torch.strided:
            continue
        rows = (~values.isfinite()).reshape(len(values), -1).any(dim=1).nonzero().flatten()
        if len(rows):
            first = ", ".join(map(str, rows[:KEPT].tolist()))
            yield f"{label} holds NaN or Inf in {len(rows):,} of {len(values):,} rows: {first}"


def _missing(numbers: Any) -> tuple[set[int], int]:
    """(places of NaN, how many numbers); of something that is no short row of numbers, (no places, 0)."""
    values = torch.as_tensor(numbers).detach().squeeze()
    if values.dim() > 1 or not values.is_floating_point() or values.numel() > MOST:
        return set(), 0
    flat = values.reshape(-1)
    return {int(i) for i in flat.isnan().nonzero().flatten()}, flat.numel()
