"""The failing batch as strips of squares, one per sample or column, coloured by size."""

from __future__ import annotations

from dataclasses import dataclass

from ...case.facts import Batch
from .heat import cell, span_of

MOST_SQUARES = 128  # of a strip
MOST_TENSORS = 4
_NOTABLE, _NAMED = 20, 12  # rows of the table; numbers in a sentence


@dataclass(frozen=True, kw_only=True)
class Square:
    """One sample or column of a batch. `kind` is a class of the style sheet, as for a `heat.Cell`."""

    number: int
    kind: str
    text: str  # its largest finite value
    size: float
    bad: int  # elements that are not finite
    index: int | None  # in the data set
    born: bool  # whether the bad value was born in it
    title: str


@dataclass(frozen=True, kw_only=True)
class Strip:
    """The samples (or columns) of one tensor in a row, and in words."""

    what: str  # "sample" or "column"
    squares: tuple[Square, ...]
    total: int
    notable: tuple[Square, ...]  # those that are bad, where it was born, and the largest
    bad: str
    born: str
    summary: str


def shown(batches: tuple[Batch, ...], rows: tuple[int, ...]) -> list[tuple[Batch, list[Strip]]]:
    """The strips of the tensors that can be shown, bad ones first. `rows` are the samples where the value was born."""
    order = sorted(batches, key=lambda batch: not any((*batch.row_nonfinite, *batch.column_nonfinite)))
    made = [(batch, strips(batch, rows)) for batch in order]
    return [(batch, found) for batch, found in made if found][:MOST_TENSORS]


def strips(batch: Batch, rows: tuple[int, ...] = ()) -> list[Strip]:
    """Samples, then columns, of one tensor."""
    made = []
    for what, sizes, bad in (
        ("sample", batch.row_absmax, batch.row_nonfinite),
        ("column", batch.column_absmax, batch.column_nonfinite),
    ):
        low, high = span_of(sizes)
        squares = [
            _square(what, i, size, bad[i] if i < len(bad) else 0, batch.indices, rows, (low, high))
            for i, size in enumerate(sizes)
        ]
        if squares:
            axis = (0 if what == "sample" else 1 if len(batch.shape) == 4 else -1) if batch.shape else None
            made.append(_strip(what, squares, batch.shape[axis] if axis is not None else len(squares)))
    return made


def _strip(what: str, squares: list[Square], total: int) -> Strip:
    notable = sorted(squares, key=lambda square: (not square.bad, not square.born, -square.size))[:_NOTABLE]
    bad = _named(what, [square for square in squares if square.bad])
    born = _named(what, [square for square in squares if square.born])
    words = [f"{total} {what}s", f"not finite: {bad}" if bad else "all finite", f"born in {born}" if born else ""]
    return Strip(
        what=what,
        squares=tuple(squares[:MOST_SQUARES]),
        total=max(total, len(squares)),
        notable=tuple(sorted(notable, key=lambda square: square.number)),
        bad=bad,
        born=born,
        summary=", ".join(filter(None, words)),
    )


def _named(what: str, squares: list[Square]) -> str:
    """sample 7 (data set index 259), sample 9 and 3 more."""
    names = [
        f"{what} {square.number}" + (f" (data set index {square.index})" if square.index is not None else "")
        for square in squares[:_NAMED]
    ]
    more = f" and {len(squares) - _NAMED} more" if len(squares) > _NAMED else ""
    return ", ".join(names) + more


def _square(
    what: str,
    i: int,
    size: float,
    bad: int,
    indices: tuple[int, ...],
    rows: tuple[int, ...],
    ends: tuple[float, float],
) -> Square:
    found = cell(size, size, *ends)
    index = indices[i] if what == "sample" and i < len(indices) else None
    at = f"{what} {i}" + (f", index {index}" if index is not None else "")
    return Square(
        number=i,
        kind="bad" if bad else found.kind,
        text=found.text,
        size=size,
        bad=bad,
        index=index,
        born=what == "sample" and i in rows,
        title=f"{at}: {found.text}" + (f", {bad} not finite" if bad else ""),
    )
