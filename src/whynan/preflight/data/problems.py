"""From column statistics to problems, each with the rows it concerns and the code that mends it.

Thresholds: an outlier is `OUTLIER` spreads (1.4826 MAD) from the median; normal data reach 5 in a million values,
log-normal data of unit sigma about 100. Columns are on different scales when their standard deviations differ by
`SCALES`, the ratio at which a learning rate that suits one column diverges along another (the condition number of
least squares is its square).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

import torch

from whynan.case.preflight import Column, Problem, Severity
from whynan.preflight.data import remedies
from whynan.preflight.data.columns import KEPT, Columns
from whynan.preflight.data.scan import Scan

OUTLIER = 200.0
LONE = 1000.0  # a warning, where nothing lies in between
SCALES = 1e3
LARGE = 1e4  # absolute values at which a linear layer of unit gain starts to hurt
CODE_SHARE, CODE_Z = 0.005, 10.0  # a value this frequent and this far out stands for something else
_SPOILS = frozenset({"nan-in-column", "nan-column", "inf-in-column", "overflows-when-cast", "zero-length",
                     "missing-value-code"})  # fmt: skip
HALF = torch.finfo(torch.float16).max
SINGLE = torch.finfo(torch.float32).max
_LENGTH = re.compile(r"(^|[_'.])(len|length|count|size|num|n|duration)s?($|[_'.\]])", re.IGNORECASE)


def problems(scan: Scan) -> list[Problem]:
    """What is wrong with the data, most serious first."""
    found: list[Problem] = []
    for name, columns in scan.tensors.items():
        facts = columns.facts()
        found += _tensor_problems(scan, name, columns, facts)
        for i, fact in enumerate(facts):
            found += _column_problems(scan, columns, i, fact)
    order = ("error", "warning", "note")
    return sorted(_merged(found), key=lambda p: order.index(p.severity))


def problems_of_others(scan: Scan, others: Iterable[Scan]) -> list[Problem]:
    """What would spoil an evaluation: it makes no weight non-finite, so it is a warning at most.

    Where the program was seen to deal with missing values of the same name in training, they are a note here too.
    """
    found = []
    for other in others:
        other.handled = scan.handled
        for problem in problems(other):
            if problem.kind in _SPOILS:
                severity: Severity = "note" if problem.severity == "note" else "warning"
                found.append(replace(problem, severity=severity, where=other.shown(problem.where)))
    return found


def _column_problems(scan: Scan, columns: Columns, i: int, fact: Column) -> Iterator[Problem]:
    if not columns.floating:
        yield from _lengths(columns, i, fact)
        return
    yield from _nonfinite(columns, i, fact, columns.name in scan.handled)
    if fact.std is None or fact.min is None or fact.max is None:
        return
    yield from _far_out(columns, i, fact, columns.name in scan.harmless)
    name, where = fact.tensor, _place(fact)
    if fact.min == fact.max and fact.count > 1 and not columns.flat:
        yield _problem(
            "constant-column", "note", where, "the column is constant: dividing it by its standard deviation is 0/0",
            f"every value is {fact.min:.4g}", (), ("division-by-zero", "empty-reduction"),
            remedies.of(remedies.WITHOUT_CONSTANTS, name),
        )  # fmt: skip
    reach = max(abs(fact.min), abs(fact.max))
    if fact.dtype == "float64" and reach > SINGLE:
        yield _problem(
            "overflows-when-cast", "error", where, "becomes Inf in float32", f"absmax {reach:.4g}",
            (columns.row_of_largest(i),), ("low-precision-overflow",), remedies.of(remedies.LOGARITHM, name),
        )  # fmt: skip
    elif reach > HALF:
        yield _problem(
            "overflows-in-half", "note", where, "becomes Inf if it is cast to float16", f"absmax {reach:.4g}",
            (columns.row_of_largest(i),), ("low-precision-overflow",), remedies.of(remedies.STANDARDISE, name),
        )  # fmt: skip


def _nonfinite(columns: Columns, i: int, fact: Column, handled: bool) -> Iterator[Problem]:
    """NaN and Inf. Where batches that hold some went through a step and all was finite, the program deals with them."""
    name, where, rows = fact.tensor, _place(fact), tuple(columns.bad_rows.get(i, ()))
    finite = fact.count - fact.nan - fact.inf
    severity: Severity = "note" if handled else "error"
    dealt = "; the program deals with them: loss and gradients were finite" if handled else ""
    if fact.nan and finite:
        yield _problem(
            "nan-in-column", severity, where, f"values are missing{dealt}",
            f"{fact.nan:,} of {fact.count:,} values ({fact.nan / fact.count:.2%})", rows, ("bad-input",),
            remedies.of(remedies.IMPUTE, name) + "\n" + _comment(remedies.of(remedies.DROP_NAN, name)),
        )  # fmt: skip
    elif fact.nan:
        yield _problem(
            "nan-column", severity, where, f"the column has no value: its mean is NaN as well{dealt}",
            f"{fact.nan:,} of {fact.count:,} values", rows, ("bad-input",), remedies.of(remedies.EMPTY_COLUMN, name),
        )  # fmt: skip
    if fact.inf and finite:
        yield _problem(
            "inf-in-column", severity, where, f"infinite values{dealt}", f"{fact.inf:,} of {fact.count:,} values",
            rows, ("bad-input",), remedies.of(remedies.DROP, name),
        )  # fmt: skip


def _far_out(columns: Columns, i: int, fact: Column, harmless: bool) -> Iterator[Problem]:
    """A code for "missing", one value that was filled in everywhere, an outlier."""
    name, where = fact.tensor, _place(fact)
    if (code := _missing_code(columns, i, fact)) is not None:
        value, frequency = code
        yield _problem(
            "missing-value-code", "warning", where, f"{value:g} looks like a code for a missing value",
            f"{frequency:.1%} of the values are exactly {value:g}, {_z(fact)} from the median {fact.median:.4g}", (),
            ("input-outlier", "unnormalized-inputs"),
            remedies.of(remedies.MISSING, name, value) + "\n" + _comment(remedies.of(remedies.FLAG, name, value)),
        )  # fmt: skip
    elif (far := distance(columns, i, fact)) > OUTLIER and fact.worst is not None:
        certain = far > LONE and _is_alone(columns, i, fact) and not harmless
        moved = "; a step with it moves the weights no farther than others" if harmless else ""
        yield _problem(
            "outlier", "warning" if certain else "note", where, f"one value is far from all others{moved}",
            f"{fact.worst:.4g}, where the median is {fact.median:.4g}: {far:.3g} times the usual spread",
            (columns.row_of_worst(i, fact),), ("input-outlier",), remedies.of(remedies.WINSORISE, name),
        )  # fmt: skip
    if (filled := _filled_in(columns, i, fact)) is not None:
        value, share = filled
        yield _problem(
            "filled-in", "note", where, "one value is repeated exactly among values that hardly ever repeat",
            f"{share:.1%} of the values are {value:.4g}: filled in?", (), ("input-outlier",), None,
        )  # fmt: skip


def _lengths(columns: Columns, i: int, fact: Column) -> Iterator[Problem]:
    if fact.zeros and _LENGTH.search(fact.tensor) and fact.min == 0 and fact.max != 0 and fact.max != 1:
        yield _problem(
            "zero-length", "warning", _place(fact), "some lengths are 0: a mean over such a sample is 0/0",
            f"{fact.zeros:,} of {fact.count:,}", (columns.row_of_smallest(i),),
            ("division-by-zero", "fully-masked-softmax"), remedies.of(remedies.AT_LEAST_ONE, fact.tensor),
        )  # fmt: skip


def _tensor_problems(scan: Scan, name: str, columns: Columns, facts: list[Column]) -> Iterator[Problem]:
    spreads = [(fact.spread, fact) for fact in facts if fact.spread]
    if columns.floating and len(spreads) > 1:
        (small, least), (large, most) = min(spreads, key=_first), max(spreads, key=_first)
        if large / small > SCALES:
            yield _problem(
                "scale-differences", "warning", name, "columns are on very different scales",
                f"usual spread {large:.3g} in {_place(most)} and {small:.3g} in {_place(least)}", (),
                ("unnormalized-inputs", "learning-rate-too-high"), remedies.of(remedies.STANDARDISE, name),
            )  # fmt: skip
    reach = max((max(abs(f.min), abs(f.max)) for f in facts if f.min is not None and f.max is not None), default=0.0)
    if columns.floating and reach > LARGE and not any(distance(columns, i, f) > OUTLIER for i, f in enumerate(facts)):
        yield _problem(
            "large-values", "warning", name, "values are large", f"absmax {reach:.4g}", (),
            ("unnormalized-inputs",), remedies.of(remedies.STANDARDISE, name),
        )  # fmt: skip
    if columns.empty and columns.empty < columns.rows:
        yield _problem(
            "zero-rows", "note", name, "samples that are zero everywhere: their norm is 0, and its gradient 0/0",
            f"{columns.empty:,} of {columns.rows:,} samples", tuple(columns.empty_rows), ("norm-at-zero",),
            remedies.of(remedies.NORMALISE, name),
        )  # fmt: skip
    if (repeated := scan.repeated.get(name, 0)) and columns.width > 1:
        pairs = scan.duplicates[name]
        yield _problem(
            "duplicates", "note", name, "samples that are equal: their distance is 0, and its gradient 0/0",
            f"{repeated:,} samples repeat an earlier one, first {pairs[0][0]} and {pairs[0][1]}",
            tuple(row for pair in pairs for row in pair)[:KEPT], ("norm-at-zero", "division-by-zero"),
            remedies.of(remedies.DISTANCE, name),
        )  # fmt: skip


def _missing_code(columns: Columns, i: int, fact: Column) -> tuple[float, float] | None:
    """(value, share) of a far-out value that is repeated exactly."""
    if fact.spread is None or fact.worst is None or fact.median is None:
        return None
    sample = columns.sample(i)
    share = (sample == fact.worst).double().mean().item() if len(sample) else 0.0
    far = fact.spread == 0 and fact.worst != fact.median or (fact.worst_z or 0) > CODE_Z
    whole = fact.worst == round(fact.worst) and abs(fact.worst) > 1
    return (fact.worst, share) if far and whole and CODE_SHARE < share < 0.5 and len(sample) > 100 else None


def distance(columns: Columns, i: int, fact: Column) -> float:
    """Of the value farthest out, in usual spreads; where most values are equal, in the spreads of the others."""
    if fact.worst_z is not None or fact.worst is None or fact.median is None:
        return fact.worst_z or 0.0
    rest = (columns.sample(i) - fact.median).abs()
    rest = rest[rest > 0]
    return abs(fact.worst - fact.median) / rest.median().item() if len(rest) >= 20 else 0.0


def _is_alone(columns: Columns, i: int, fact: Column) -> bool:
    """Nothing in between: the 99.9th percentile is no tenth as far out. A long tail is a distribution, no mistake."""
    sample = columns.sample(i)
    if fact.median is None or fact.worst is None or len(sample) < 20:
        return False
    far = (sample - fact.median).abs()
    inner = far[far < abs(fact.worst - fact.median) * 0.999]
    return bool(len(inner)) and inner.quantile(0.999).item() < 0.1 * abs(fact.worst - fact.median)


def _filled_in(columns: Columns, i: int, fact: Column) -> tuple[float, float] | None:
    """(value, share) of a value that is repeated where hardly any other is."""
    sample = columns.sample(i)
    if len(sample) < 100:
        return None
    values, counts = sample.unique(return_counts=True)
    best = int(counts.argmax())
    value, share = values[best].item(), counts[best].item() / len(sample)
    others = counts.sum() - counts[best]
    rarely = len(values) > 30 and bool((counts > 2).sum() <= 1) and others > 50
    whole = value == round(value)  # zeros and ones are ordinary
    return (value, share) if rarely and share > 0.02 and not whole else None


def _merged(found: list[Problem]) -> list[Problem]:
    """Many columns with the same problem are one line."""
    groups: dict[tuple[str, str], list[Problem]] = {}
    for problem in found:
        groups.setdefault((problem.kind, problem.where.partition(", column")[0]), []).append(problem)
    merged = []
    for same in groups.values():
        first = same[0]
        if len(same) > 3:
            columns = ", ".join(p.where.rpartition("column ")[2] for p in same[:6])
            more = f" and {len(same) - 6} more" if len(same) > 6 else ""
            where = f"{first.where.partition(', column')[0]}, columns {columns}{more}"
            rows = tuple(dict.fromkeys(row for p in same for row in p.samples))[:KEPT]
            merged.append(_problem(first.kind, first.severity, where, first.message, f"first: {first.measured}", rows,
                                   first.causes, first.remedy))  # fmt: skip
        else:
            merged += same
    return merged


def _problem(
    kind: str, severity: Severity, where: str, message: str, measured: str, samples: tuple[int, ...],
    causes: tuple[str, ...], remedy: str | None,
) -> Problem:  # fmt: skip
    return Problem(
        part="data", kind=kind, severity=severity, where=where, message=message, measured=measured, samples=samples,
        causes=causes, remedy=remedy,
    )  # fmt: skip


def _first(pair: tuple[float | None, Column]) -> float:
    return pair[0] or 0.0


def _z(fact: Column) -> str:
    return f"{fact.worst_z:.3g} times the usual spread" if fact.worst_z is not None else "and nothing else varies"


def _place(fact: Column) -> str:
    return fact.tensor if fact.index is None else f"{fact.tensor}, column {fact.index}"


def _comment(code: str) -> str:
    """An alternative: shown, not done."""
    return "\n".join(f"# {line}" for line in code.splitlines())
