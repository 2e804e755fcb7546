"""Statistics of the columns of one tensor over a stream of batches, in memory that does not grow with the data.

Rows are samples (dimension 0), columns features (dimension 1: features, channels or time steps); what follows is
counted as more values of the same column. Mean and variance by Welford's update for batches (Chan, Golub and LeVeque
1983); median and median absolute deviation from a reservoir sample (Vitter 1985), so they are estimates for more than
`SAMPLE` values; the extremes are exact.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from whynan.case.preflight import Column

SAMPLE = 2048  # values kept of each column
MOST = 1024  # columns; wider tensors are looked at as one column
KEPT = 8  # rows that are named for one problem
NORMAL = 1.4826  # median absolute deviation of normal data, times this, is their standard deviation


class Columns:
    """`add` batches, then read. `shape` is that of one batch, without its rows."""

    def __init__(self, name: str, first: Tensor) -> None:
        self.name, self.dtype = name, str(first.dtype).removeprefix("torch.")
        self.floating = first.is_floating_point()
        several = self.floating and first.dim() > 1 and 0 < first.shape[1] <= MOST  # whole numbers are one column
        self.width = first.shape[1] if several else 1
        self.flat = first.dim() < 2 or self.width != first.shape[1]
        zeros = torch.zeros(self.width, dtype=torch.float64)
        self.count, self.nan, self.inf, self.zero = (zeros.clone() for _ in range(4))
        self.mean, self.m2 = zeros.clone(), zeros.clone()
        self.low, self.high = zeros + math.inf, zeros - math.inf
        self.low_row, self.high_row = zeros.long() - 1, zeros.long() - 1
        self.bad_rows: dict[int, list[int]] = {}  # column -> rows with a non-finite value
        self.empty_rows: list[int] = []  # rows that are all zero
        self.empty = self.rows = 0
        self._sample = torch.empty(0, self.width, dtype=torch.float64)
        self._offered = 0
        self._random = torch.Generator().manual_seed(0)  # not the user's

    def add(self, batch: Tensor, rows: Sequence[int]) -> None:
        """batch: [n, ...]; rows: the n numbers of its samples."""
        values = self._by_column(batch)
        number = torch.as_tensor(list(rows), dtype=torch.long)
        per_row = values.shape[0] // max(1, len(number))
        finite = torch.isfinite(values)
        self.count += values.shape[0]
        self.nan += torch.isnan(values).sum(0)
        self.inf += torch.isinf(values).sum(0)
        self.zero += (values == 0).sum(0)
        if self.floating and not bool(finite.all()):
            self._note_bad(finite, number, per_row)
        self._welford(values, finite)
        self._extremes(values, finite, number, per_row)
        self._keep(values)
        self._rows_of_zeros(batch, number)

    def _by_column(self, batch: Tensor) -> Tensor:
        """[values, columns] in float64; the values of one row stand together."""
        values = batch.detach().to("cpu", torch.float64)
        if self.flat:
            return values.reshape(-1, 1)
        return values.reshape(values.shape[0], self.width, -1).transpose(1, 2).reshape(-1, self.width)

    def _note_bad(self, finite: Tensor, number: Tensor, per_row: int) -> None:
        where = (~finite).nonzero()[:4096].tolist()
        for position, column in where:
            rows = self.bad_rows.setdefault(column, [])
            row = int(number[min(position // max(1, per_row), len(number) - 1)])
            if len(rows) < KEPT and row not in rows:
                rows.append(row)

    def _welford(self, values: Tensor, finite: Tensor) -> None:
        kept = torch.where(finite, values, 0.0)
        n = finite.sum(0).double()
        before = self.count - self.nan - self.inf - n
        mean = kept.sum(0) / n.clamp(min=1)
        m2 = torch.where(finite, (values - mean) ** 2, 0.0).sum(0)
        total = (before + n).clamp(min=1)
        delta = torch.where(n > 0, mean - self.mean, 0.0)
        self.mean = self.mean + delta * n / total
        self.m2 = self.m2 + m2 + delta**2 * before * n / total

    def _extremes(self, values: Tensor, finite: Tensor, number: Tensor, per_row: int) -> None:
        if not values.shape[0]:
            return
        for name, fill in (("low", math.inf), ("high", -math.inf)):
            masked = torch.where(finite, values, fill)
            found, at = masked.min(0) if name == "low" else masked.max(0)
            best = getattr(self, name)
            better = found < best if name == "low" else found > best
            rows = number[(at // max(1, per_row)).clamp(max=len(number) - 1)]
            setattr(self, name, torch.where(better, found, best))
            setattr(self, f"{name}_row", torch.where(better, rows, getattr(self, f"{name}_row")))

    def _keep(self, values: Tensor) -> None:
        """Reservoir of whole rows of `values`."""
        room = SAMPLE - len(self._sample)
        if room > 0:
            self._sample = torch.cat([self._sample, values[:room]])
            self._offered += min(room, len(values))
            values = values[room:]
        for start in range(0, len(values), 65536):
            part = values[start : start + 65536]
            order = torch.arange(self._offered, self._offered + len(part))
            slot = (torch.rand(len(part), generator=self._random, dtype=torch.float64) * (order + 1)).long()
            chosen = slot < SAMPLE
            self._sample[slot[chosen]] = part[chosen]
            self._offered += len(part)

    def _rows_of_zeros(self, batch: Tensor, number: Tensor) -> None:
        if self.floating and batch.dim() > 1 and batch.shape[0] and batch[0].numel() > 1:
            empty = (batch.detach().reshape(batch.shape[0], -1) == 0).all(1).nonzero().flatten()
            self.empty += len(empty)
            for row in number[empty.cpu()].tolist():
                if len(self.empty_rows) < KEPT:
                    self.empty_rows.append(row)
        self.rows += len(number)

    @property
    def nonfinite(self) -> int:
        """NaN and infinite values so far."""
        return int(self.nan.sum() + self.inf.sum())

    @property
    def absmax(self) -> float:
        """Largest finite magnitude so far."""
        low, high = float(self.low.min()), float(self.high.max())
        return max(abs(low), abs(high)) if low <= high else 0.0

    # what was found --------------------------------------------------------------------------------------------

    def facts(self) -> list[Column]:
        """One `Column` each."""
        return [self._fact(i) for i in range(self.width)]

    def sample(self, column: int) -> Tensor:
        """The finite values of the reservoir: [at most SAMPLE], float64."""
        values = self._sample[:, column]
        return values[torch.isfinite(values)]

    def _fact(self, i: int) -> Column:
        finite = int(self.count[i] - self.nan[i] - self.inf[i])
        sample = self.sample(i)
        middle = sample.median().item() if len(sample) else None
        spread = NORMAL * (sample - middle).abs().median().item() if middle is not None else None
        low, high = (self.low[i].item(), self.high[i].item()) if finite else (None, None)
        worst = z = None
        if middle is not None and low is not None and high is not None:
            worst = high if high - middle >= middle - low else low
            z = abs(worst - middle) / spread if spread else None
        return Column(
            tensor=self.name, index=None if self.flat else i, dtype=self.dtype, count=int(self.count[i]),
            nan=int(self.nan[i]), inf=int(self.inf[i]), zeros=int(self.zero[i]), min=low, max=high,
            mean=self.mean[i].item() if finite else None,
            std=math.sqrt(self.m2[i].item() / finite) if finite else None,
            median=middle, spread=spread, worst=worst, worst_z=z,
        )  # fmt: skip

    def row_of_worst(self, i: int, fact: Column) -> int:
        """Number of the sample that holds `fact.worst`."""
        return int(self.high_row[i] if fact.worst == fact.max else self.low_row[i])

    def row_of_largest(self, i: int) -> int:
        """Number of the sample that holds the largest magnitude."""
        return int(self.high_row[i] if abs(self.high[i]) >= abs(self.low[i]) else self.low_row[i])

    def row_of_smallest(self, i: int) -> int:
        """Number of the sample that holds the smallest value."""
        return int(self.low_row[i])
